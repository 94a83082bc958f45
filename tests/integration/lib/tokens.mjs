// Tokens and keys as Supabase issues them, good ones and bad ones.
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { SignJWT, exportJWK } from 'jose';

export const JWT_SECRET = 'test-secret-of-at-least-thirty-two-characters';

const base64url = (value) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export const nowSeconds = () => Math.floor(Date.now() / 1000);

// claims: role, sub, exp, nbf ... ; `exp: null` leaves it out. Signed with HS256 unless `key` says
// otherwise. The signer is our own for HS256, so that tokens jose would refuse can be made too.
export async function token(
  { alg = 'HS256', key, kid, header = {}, secret = JWT_SECRET, ...claims } = {},
) {
  const payload = { role: 'service_role', iss: 'test', iat: nowSeconds() - 60, ...claims };
  if (payload.exp === undefined) payload.exp = nowSeconds() + 3600;
  for (const name of Object.keys(payload)) if (payload[name] === null) delete payload[name];
  if (alg === 'none') return `${base64url({ alg, typ: 'JWT' })}.${base64url(payload)}.`;
  if (alg.startsWith('HS')) {
    const head = { alg, typ: 'JWT', ...(kid ? { kid } : {}), ...header };
    const input = `${base64url(head)}.${base64url(payload)}`;
    const mac = createHmac(`sha${alg.slice(2)}`, secret).update(input).digest('base64url');
    return `${input}.${mac}`;
  }
  return new SignJWT(payload)
    .setProtectedHeader({ alg, typ: 'JWT', ...(kid ? { kid } : {}), ...header })
    .sign(key);
}

// A token without `alg`, signed or not: nobody may accept it.
export function tokenWithHeader(head, payload = {}) {
  const input = `${base64url(head)}.${base64url({ role: 'service_role', exp: nowSeconds() + 3600, ...payload })}`;
  return `${input}.${createHmac('sha256', JWT_SECRET).update(input).digest('base64url')}`;
}

// A key pair of the kind an algorithm needs: {alg, kid, privateKey, publicKey, jwk}.
export async function keyPair(alg, kid) {
  const kinds = {
    ES256: ['ec', { namedCurve: 'P-256' }],
    ES384: ['ec', { namedCurve: 'P-384' }],
    RS256: ['rsa', { modulusLength: 2048 }],
    PS256: ['rsa', { modulusLength: 2048 }],
    EdDSA: ['ed25519', {}],
  };
  const { privateKey, publicKey } = generateKeyPairSync(...kinds[alg]);
  const jwk = { ...(await exportJWK(publicKey)), alg, use: 'sig', ...(kid ? { kid } : {}) };
  return { alg, kid, privateKey, publicKey, jwk };
}
