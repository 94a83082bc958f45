// Reads what a JSON Web Token says of itself. Whether it is genuine is for the servers to judge.

export interface Claims {
  user: string; // sub
  role: string;
  email: string;
  expiresAt: number; // epoch ms; Infinity when it never expires
}

export type TokenProblem = 'not-a-token' | 'service-key' | 'not-a-user' | 'expired';

function decodePart(part: string): unknown {
  const base64 = part.replace(/-/g, '+').replace(/_/g, '/');
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

export function readToken(token: string): Claims | undefined {
  const parts = token.split('.');
  if (parts.length !== 3 || !parts[1]) return undefined;
  try {
    const claims = decodePart(parts[1]) as Record<string, unknown>;
    if (typeof claims !== 'object' || claims === null) return undefined;
    const text = (value: unknown) => (typeof value === 'string' ? value : '');
    return {
      user: text(claims.sub),
      role: text(claims.role),
      email: text(claims.email),
      expiresAt: typeof claims.exp === 'number' ? claims.exp * 1000 : Infinity,
    };
  } catch {
    return undefined;
  }
}

// Why a token cannot be used here; undefined when it can.
export function tokenProblem(token: string, now: number): TokenProblem | undefined {
  const claims = readToken(token);
  if (!claims) return 'not-a-token';
  if (claims.role === 'service_role') return 'service-key';
  if (claims.role !== 'authenticated' || claims.user === '') return 'not-a-user';
  return claims.expiresAt <= now ? 'expired' : undefined;
}

// What a person pastes: the token, a link that carries it, or either with white space and quotes.
export function pastedToken(text: string): string {
  const trimmed = text.trim().replace(/^["'`]|["'`]$/g, '');
  return (/[#&]token=([^&\s]+)/.exec(trimmed)?.[1] ?? trimmed).replace(/^Bearer\s+/i, '').replace(/\s+/g, '');
}

// The token in the fragment of an address, and the fragment without it.
export function takeFromFragment(fragment: string): { token: string; rest: string } | undefined {
  const found = /(^#|&)token=([^&]*)/.exec(fragment);
  if (!found) return undefined;
  const rest = fragment.replace(found[0], found[1] === '&' ? '' : '#').replace(/^#&/, '#');
  let token = found[2] ?? '';
  try {
    token = decodeURIComponent(token);
  } catch {
    // as it stands
  }
  return { token, rest: rest === '#' ? '' : rest };
}
