// Who may call, with what, and how often: edge contract section 2, checklist 19 to 24, 28, 46, 47.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startSystem, OTHER_OWNER, OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { JWT_SECRET, keyPair, nowSeconds, token, tokenWithHeader } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const line = { message: 'hello there', username: 'auth_user', streamSessionId: SESSION };

function refused(answer, code, message) {
  assert.equal(answer.status, 401, answer.body);
  assert.equal(answer.body, JSON.stringify({ code, message }));
  assert.equal(answer.headers['sb-error-code'], code);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(answer.headers['access-control-allow-origin'], '*');
  assert.match(answer.headers['sb-request-id'] ?? '', /^[0-9a-f-]{36}$/);
}

describe('tokens', () => {
  let system;
  const es = { one: null, two: null };
  let rs;

  before(async () => {
    es.one = await keyPair('ES256', 'es-1');
    es.two = await keyPair('ES256', 'es-2');
    rs = await keyPair('RS256', 'rs-1');
    system = await startSystem({
      env: { ANALYZER: 'off', JWT_SECRET, API_KEYS: 'sb_publishable_one=anon,sb_secret_one=service_role' },
      jwks: [es.one.jwk, rs.jwk],
    });
  });
  after(() => system?.stop());

  const bearer = (value) => system.post(line, { headers: { authorization: `Bearer ${value}` } });

  test('a token is good strictly before its exp and not at it', async () => {
    const now = nowSeconds();
    assert.equal((await bearer(await token({ exp: now + 30 }))).status, 200);
    refused(await bearer(await token({ exp: now })), 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
    refused(await bearer(await token({ exp: now - 1 })), 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
  });

  test('a token that was good is refused once it has expired, cache or not', async () => {
    const short = await token({ exp: nowSeconds() + 2 });
    assert.equal((await bearer(short)).status, 200);
    const deadline = Date.now() + 6000;
    let answer;
    do answer = await bearer(short);
    while (answer.status === 200 && Date.now() < deadline);
    refused(answer, 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
  });

  test('a token that is not valid yet is refused', async () => {
    refused(await bearer(await token({ nbf: nowSeconds() + 60 })), 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
  });

  test('alg none, in any spelling and with any signature, is refused', async () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE']) {
      refused(
        await bearer(tokenWithHeader({ alg, typ: 'JWT' })),
        'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM',
        `Unsupported JWT algorithm ${alg}`,
      );
    }
    refused(
      await bearer(await token({ alg: 'none' })),
      'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM',
      'Unsupported JWT algorithm none',
    );
  });

  test('a token without alg is refused', async () => {
    refused(
      await bearer(tokenWithHeader({ typ: 'JWT' })),
      'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM',
      'Unsupported JWT algorithm undefined',
    );
  });

  test('HS256 signed with a public key is refused, however the key is written', async () => {
    const spellings = [
      rs.publicKey.export({ type: 'spki', format: 'pem' }),
      rs.publicKey.export({ type: 'spki', format: 'der' }),
      rs.publicKey.export({ type: 'pkcs1', format: 'pem' }),
      es.one.publicKey.export({ type: 'spki', format: 'pem' }),
      JSON.stringify(rs.jwk),
      Buffer.from(rs.jwk.n, 'base64url'),
      Buffer.from(es.one.jwk.x, 'base64url'),
    ];
    for (const secret of spellings) {
      for (const kid of ['rs-1', 'es-1', undefined]) {
        refused(await bearer(await token({ secret, kid })), 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
      }
    }
  });

  test('an empty secret does not open the door', async () => {
    refused(await bearer(await token({ secret: '' })), 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
  });

  test('ES256 and RS256 are taken with their kid, and without when only one key fits', async () => {
    for (const kid of ['es-1', undefined]) {
      assert.equal((await bearer(await token({ alg: 'ES256', key: es.one.privateKey, kid }))).status, 200);
    }
    for (const kid of ['rs-1', undefined]) {
      assert.equal((await bearer(await token({ alg: 'RS256', key: rs.privateKey, kid }))).status, 200);
    }
  });

  test('an unknown kid, another key, an expired and a damaged signature are refused', async () => {
    const bad = [
      await token({ alg: 'ES256', key: es.one.privateKey, kid: 'nobody' }),
      await token({ alg: 'ES256', key: es.two.privateKey, kid: 'es-1' }),
      await token({ alg: 'ES256', key: es.one.privateKey, kid: 'es-1', exp: nowSeconds() - 9 }),
      await token({ alg: 'RS256', key: (await keyPair('RS256')).privateKey, kid: 'rs-1' }),
    ];
    const good = await token({ alg: 'ES256', key: es.one.privateKey, kid: 'es-1' });
    const [head, payload, signature] = good.split('.');
    const turned = Buffer.from(signature, 'base64url');
    turned[10] ^= 1;
    bad.push(`${head}.${payload}.${turned.toString('base64url')}`);
    bad.push(`${head}.${payload}.${'A'.repeat(signature.length)}`);
    for (const each of bad) refused(await bearer(each), 'UNAUTHORIZED_ASYMMETRIC_JWT', 'Invalid JWT');
  });

  test('a new key works after SIGHUP and the one that was taken out does not', async () => {
    const fresh = await token({ alg: 'ES256', key: es.two.privateKey, kid: 'es-2' });
    const old = await token({ alg: 'ES256', key: es.one.privateKey, kid: 'es-1' });
    refused(await bearer(fresh), 'UNAUTHORIZED_ASYMMETRIC_JWT', 'Invalid JWT');
    assert.equal((await bearer(old)).status, 200); // and now it is in the cache
    const { pid } = system.program;
    system.writeJwks([es.two.jwk, rs.jwk]);
    await system.program.reload();
    assert.equal((await bearer(fresh)).status, 200);
    refused(await bearer(old), 'UNAUTHORIZED_ASYMMETRIC_JWT', 'Invalid JWT');
    assert.equal(system.program.pid, pid, 'without a restart');
  });

  test('a broken key file leaves the old keys in force', async () => {
    const good = await token({ alg: 'RS256', key: rs.privateKey, kid: 'rs-1' });
    const from = system.program.child.text.length;
    fs.writeFileSync(system.jwksFile, '{"keys": [');
    system.program.kill('SIGHUP');
    await system.program.child.sees(/level=(warn|error) /, { from });
    assert.equal((await bearer(good)).status, 200);
    system.writeJwks([es.two.jwk, rs.jwk]);
    await system.program.reload();
    assert.equal((await bearer(good)).status, 200);
  });

  test('a key works at both doors: Authorization and apikey', async () => {
    for (const key of ['sb_publishable_one', 'sb_secret_one']) {
      assert.equal((await bearer(key)).status, 200, key);
      assert.equal((await system.post(line, { headers: { apikey: key } })).status, 200, key);
      const both = { apikey: key, authorization: `Bearer ${key}` };
      assert.equal((await system.post(line, { headers: both })).status, 200, key);
    }
  });

  test('an unknown key is refused at both doors', async () => {
    refused(await bearer('sb_publishable_two'), 'UNAUTHORIZED_INVALID_JWT_FORMAT', 'Invalid JWT');
    const byHeader = await system.post(line, { headers: { apikey: 'sb_publishable_two' } });
    assert.equal(byHeader.status, 401);
    const prefix = await system.post(line, { headers: { apikey: 'sb_publishable_on' } });
    assert.equal(prefix.status, 401);
  });

  test('a good apikey does not excuse a bad token', async () => {
    const answer = await system.post(line, {
      headers: { apikey: 'sb_secret_one', authorization: `Bearer ${await token({ exp: 1 })}` },
    });
    refused(answer, 'UNAUTHORIZED_LEGACY_JWT', 'Invalid JWT');
  });

  test('a role that nobody knows has no rights beyond anon', async () => {
    const answer = await bearer(await token({ role: 'postgres', sub: OWNER }));
    const anon = await bearer(await token({ role: 'anon' }));
    assert.ok([anon.status, 401, 403].includes(answer.status), `${answer.status}`);
  });

  test('a refusal is logged with reason and request id, and without the token', async () => {
    const bad = await token({ secret: 'a-secret-that-is-wrong-and-long-enough' });
    // At most one a second is written, so that a flood of bad tokens is none of log lines.
    const entry = await until('a refusal in the log', async () => {
      const id = (await bearer(bad)).headers['sb-request-id'];
      return system.program.logs().split('\n').find((each) => each.includes(id));
    }, { everyMs: 50 });
    const all = system.program.logs();
    assert.match(entry, /event=caller_refused/);
    assert.match(entry, /UNAUTHORIZED_LEGACY_JWT/);
    assert.ok(!all.includes(bad.split('.')[2]), 'no signature in the log');
    assert.ok(!all.includes(bad.split('.')[1]), 'no claims in the log');
    assert.ok(!all.includes('sb_secret_one'), 'no key in the log');
  });
});

test('JWT_LEEWAY_S lets a token live that much longer', async () => {
  const system = await startSystem({ env: { ANALYZER: 'off', JWT_LEEWAY_S: '30' } });
  try {
    const late = { headers: { authorization: `Bearer ${await token({ exp: nowSeconds() - 10 })}` } };
    assert.equal((await system.post(line, late)).status, 200);
    const later = { headers: { authorization: `Bearer ${await token({ exp: nowSeconds() - 60 })}` } };
    assert.equal((await system.post(line, later)).status, 401);
  } finally {
    await system.stop();
  }
});

describe('ownership', () => {
  let system;
  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k' } });
    system.model.buyer();
  });
  after(() => system?.stop());

  const as = async (claims, session) =>
    system.post({ ...line, streamSessionId: session }, { token: await token(claims) });

  test("a user's token writes to the user's own session", async () => {
    const answer = await as({ role: 'authenticated', sub: OWNER }, SESSION);
    assert.equal(answer.status, 200, answer.body);
    const { rows } = await system.db.query('select user_id from public.sales_captured');
    assert.deepEqual(rows, [{ user_id: OWNER }]);
  });

  test("a user's token on somebody else's session: 403, no row, no AI call", async () => {
    await system.clean();
    const answer = await as({ role: 'authenticated', sub: OWNER }, OTHER_SESSION);
    assert.equal(answer.status, 403, answer.body);
    assert.equal(JSON.parse(answer.body).success, false);
    assert.ok(JSON.parse(answer.body).error.length > 0);
    assert.equal(system.model.requests.length, 0);
    const { rows } = await system.db.query('select id from public.chat_messages');
    assert.equal(rows.length, 0);
  });

  test("the owner of the other session may; sub in capitals is the same user", async () => {
    assert.equal((await as({ role: 'authenticated', sub: OTHER_OWNER.toUpperCase() }, OTHER_SESSION)).status, 200);
  });

  test('a user whose sub is no UUID owns nothing', async () => {
    for (const sub of ['nobody', `${OWNER}x`, OWNER.slice(1)]) {
      const answer = await as({ role: 'authenticated', sub }, SESSION);
      assert.equal(answer.status, 403, `${sub}: ${answer.body}`);
    }
  });

  test('a user cannot learn by messageId what somebody else wrote', async () => {
    const messageId = '6f4b1a9e-5f1d-4c07-9d3f-0a4a9a2a3b11';
    const body = { ...line, messageId };
    assert.equal((await system.post(body)).status, 200);
    const stranger = await token({ role: 'authenticated', sub: OTHER_OWNER });
    const answer = await system.post(body, { token: stranger });
    assert.equal(answer.status, 403, answer.body);
    assert.ok(!answer.body.includes('is_buyer'));
    const elsewhere = await system.post({ ...body, streamSessionId: OTHER_SESSION }, { token: stranger });
    assert.equal(elsewhere.status, 409, elsewhere.body);
    assert.ok(!elsewhere.body.includes('is_buyer'));
  });

  test('service_role writes anywhere and an unknown session is 404 for everybody', async () => {
    for (const session of [SESSION, OTHER_SESSION]) {
      assert.equal((await as({ role: 'service_role' }, session)).status, 200);
    }
    const none = '99999999-9999-4999-8999-999999999999';
    for (const claims of [{ role: 'service_role' }, { role: 'authenticated', sub: OWNER }, { role: 'anon' }]) {
      assert.equal((await as(claims, none)).status, 404, claims.role);
    }
  });
});

describe('ANON_WRITES', () => {
  test('deny: anon, publishable keys and unverified callers get 403, others go on', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'off', ANON_WRITES: 'deny', API_KEYS: 'sb_publishable_x=anon,sb_secret_x=service_role' },
    });
    try {
      const denied = await system.post(line, { token: await token({ role: 'anon' }) });
      assert.equal(denied.status, 403, denied.body);
      assert.equal(JSON.parse(denied.body).success, false);
      assert.equal((await system.post(line, { headers: { apikey: 'sb_publishable_x' } })).status, 403);
      assert.equal((await system.post(line, { headers: { apikey: 'sb_secret_x' } })).status, 200);
      const user = await token({ role: 'authenticated', sub: OWNER });
      assert.equal((await system.post(line, { token: user })).status, 200);
      const nobody = await token({ role: 'authenticated' }); // without sub: no more than anon
      assert.equal((await system.post(line, { token: nobody })).status, 403);
      const { rows } = await system.db.query('select id from public.chat_messages');
      assert.equal(rows.length, 2);
    } finally {
      await system.stop();
    }
  });

  test('allow is the default and is said at start as a warning', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off' } });
    try {
      assert.match(system.program.logs(), /level=warn .*anon/i);
      assert.equal((await system.post(line, { token: await token({ role: 'anon' }) })).status, 200);
    } finally {
      await system.stop();
    }
  });

  test('JWT_VERIFY=off with ANON_WRITES=deny: nobody unverified writes', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off', ANON_WRITES: 'deny', JWT_VERIFY: 'off' } });
    try {
      assert.equal((await system.post(line, { headers: {} })).status, 403);
      const forged = await token({ secret: 'forged-forged-forged-forged-forged-forged' });
      assert.equal((await system.post(line, { token: forged })).status, 403, 'a forged service token');
    } finally {
      await system.stop();
    }
  });
});

describe('rate limits', () => {
  let system;
  before(async () => {
    system = await startSystem({
      env: {
        ANALYZER: 'off', RATE_USER_PER_S: '2', RATE_ANON_PER_S: '1', RATE_BURST_FACTOR: '3',
        API_KEYS: 'sb_publishable_x=anon,sb_publishable_y=anon',
      },
    });
  });
  after(() => system?.stop());

  // Sends until somebody says stop; returns how many passed and the refusal.
  async function flood(send, most) {
    for (let passed = 0; passed < most; passed++) {
      const answer = await send();
      if (answer.status !== 200) return { passed, answer };
    }
    return { passed: most, answer: null };
  }

  function limited({ answer }) {
    assert.equal(answer?.status, 429, answer?.body);
    assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
    const body = JSON.parse(answer.body);
    assert.deepEqual(Object.keys(body), ['error', 'success']);
    assert.equal(body.success, false);
    assert.equal(answer.headers['access-control-allow-origin'], '*');
  }

  test('a user has a burst, then 429 with Retry-After; another user is not touched', async () => {
    const one = await token({ role: 'authenticated', sub: OWNER });
    const result = await flood(() => system.post(line, { token: one }), 40);
    limited(result);
    assert.ok(result.passed >= 6, `a burst of 2/s times 3, got ${result.passed}`);
    const other = await token({ role: 'authenticated', sub: OTHER_OWNER });
    const answer = await system.post({ ...line, streamSessionId: OTHER_SESSION }, { token: other });
    assert.equal(answer.status, 200, answer.body);
  });

  test('a fresh token of the same user does not make a fresh bucket', async () => {
    const mint = (n) => token({ role: 'authenticated', sub: OWNER, jti: `${n}` });
    let refusedSome = false;
    for (let n = 0; n < 12; n++) {
      refusedSome ||= (await system.post(line, { token: await mint(n) })).status === 429;
    }
    assert.ok(refusedSome);
  });

  test('anon is limited by address, whatever key it shows', async () => {
    let n = 0;
    const keys = ['sb_publishable_x', 'sb_publishable_y'];
    const result = await flood(
      () => system.post(line, { headers: { apikey: keys[n++ % 2] } }), 30);
    limited(result);
    assert.ok(result.passed >= 3, `${result.passed}`);
  });

  test('a client cannot choose its address by a header', async () => {
    const anon = await token({ role: 'anon' });
    let n = 0;
    const result = await flood(() => system.post(line, {
      token: anon,
      headers: { 'x-forwarded-for': `10.0.0.${n++}`, 'x-real-ip': `10.1.0.${n}`, forwarded: `for=10.2.0.${n}` },
    }), 30);
    limited(result);
  });

  test('the service has no limit', async () => {
    const result = await flood(() => system.post(line), 60);
    assert.equal(result.passed, 60);
  });

  test('a refused request leaves no row', async () => {
    const anon = await token({ role: 'anon' });
    const marked = { ...line, message: 'over the limit' };
    const result = await flood(() => system.post(marked, { token: anon }), 30);
    limited(result);
    const { rows: [{ n }] } = await system.db.query(
      "select count(*)::int as n from public.chat_messages where message = 'over the limit'");
    assert.equal(n, result.passed);
  });

  test('after Retry-After the next one passes', async () => {
    const anon = await token({ role: 'anon' });
    const { answer } = await flood(() => system.post(line, { token: anon }), 30);
    const wait = Number(answer.headers['retry-after']) * 1000;
    const began = Date.now();
    let again;
    do again = await system.post(line, { token: anon });
    while (again.status === 429 && Date.now() - began < wait + 1500);
    assert.equal(again.status, 200);
  });
});
