// Who is signed in: with an account (Supabase auth), or with a token minted on the box.
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { recall, remember } from '../lib/local';
import type { Settings } from '../lib/settings';
import { readToken, tokenProblem, type TokenProblem } from '../lib/token';

export interface SignedIn {
  user: string;
  label: string; // an e-mail address, or the start of the id
  expiresAt: number; // epoch ms; Infinity for an account, which renews itself
  token: () => Promise<string>;
  client: SupabaseClient;
  signOut: () => void;
}

const STORED = 'token';

export const storedToken = () => recall(STORED);

// A token that is good here is kept in this browser. Returns why it is not.
export function keepToken(token: string): TokenProblem | undefined {
  const problem = tokenProblem(token, Date.now());
  if (!problem) remember(STORED, token);
  return problem;
}

export function forgetToken(): void {
  remember(STORED, undefined);
}

const label = (email: string, user: string) => email || `${user.slice(0, 8)}…`;

export function signInByToken(settings: Settings, token: string, onOut: () => void): SignedIn {
  const claims = readToken(token);
  if (!claims) throw new Error('no token');
  return {
    user: claims.user,
    label: label(claims.email, claims.user),
    expiresAt: claims.expiresAt,
    token: async () => token,
    client: createClient(settings.supabaseUrl, settings.publishableKey, { accessToken: async () => token }),
    signOut: () => {
      forgetToken();
      onOut();
    },
  };
}

// Accounts: the library keeps and renews the session, and reads a magic link's fragment.
export class Accounts {
  private readonly client: SupabaseClient;

  constructor(settings: Settings, onChange: (signedIn: SignedIn | undefined) => void) {
    this.client = createClient(settings.supabaseUrl, settings.publishableKey);
    let user = '';
    this.client.auth.onAuthStateChange((_event, session) => {
      const next = session?.user.id ?? '';
      if (next === user && next !== '') return; // a renewed token
      user = next;
      onChange(session === null ? undefined : {
        user: session.user.id,
        label: label(session.user.email ?? '', session.user.id),
        expiresAt: Infinity,
        token: async () => (await this.client.auth.getSession()).data.session?.access_token ?? '',
        client: this.client,
        signOut: () => void this.client.auth.signOut(),
      });
    });
  }

  // Both return what went wrong, in the server's words.
  async byPassword(email: string, password: string): Promise<string | undefined> {
    return (await this.client.auth.signInWithPassword({ email, password })).error?.message;
  }

  async byLink(email: string): Promise<string | undefined> {
    const emailRedirectTo = location.origin + location.pathname;
    return (await this.client.auth.signInWithOtp({ email, options: { emailRedirectTo } })).error?.message;
  }
}
