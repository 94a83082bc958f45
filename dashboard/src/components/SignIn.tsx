import { useState, type FormEvent } from 'react';
import type { Accounts } from '../data/session';
import { pastedToken, type TokenProblem } from '../lib/token';
import { t } from '../texts';
import { Logo } from './Icon';

interface Props {
  accounts: Accounts | undefined; // none: by token
  byToken: (token: string) => TokenProblem | undefined;
  problem: TokenProblem | undefined;
}

export function SignIn({ accounts, byToken, problem }: Props) {
  return (
    <main className="door">
      <div className="door-card">
        <Logo />
        <h1>{t.signIn.title}</h1>
        {accounts ? <ByAccount accounts={accounts} /> : <ByToken byToken={byToken} problem={problem} />}
      </div>
    </main>
  );
}

function ByToken({ byToken, problem }: Omit<Props, 'accounts'>) {
  const [text, setText] = useState('');
  const [why, setWhy] = useState(problem);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setWhy(byToken(pastedToken(text)));
  };
  return (
    <form onSubmit={submit}>
      <p className="muted">{t.signIn.tokenLead}</p>
      <label className="field">
        <span>{t.signIn.token}</span>
        <textarea
          rows={4} value={text} spellCheck={false} autoComplete="off" autoCapitalize="off" required
          aria-invalid={why !== undefined} aria-describedby="token-hint token-problem"
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === 'Enter') submit(event);
          }}
        />
      </label>
      <p id="token-problem" className="problem" role="alert">{why ? t.signIn.problem[why] : ''}</p>
      <button className="button primary wide" type="submit">{t.signIn.submit}</button>
      <p id="token-hint" className="hint">{t.signIn.tokenHint}</p>
    </form>
  );
}

function ByAccount({ accounts }: { accounts: Accounts }) {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [said, setSaid] = useState('');
  const [isBusy, setBusy] = useState(false);
  const act = async (what: () => Promise<string | undefined>, done = '') => {
    setBusy(true);
    setSaid('');
    setSaid((await what().catch((error: Error) => error.message)) ?? done);
    setBusy(false);
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void act(() => accounts.byPassword(email, password));
      }}
    >
      <p className="muted">{t.signIn.lead}</p>
      <label className="field">
        <span>{t.signIn.email}</span>
        <input type="email" autoComplete="username" required value={email} onChange={(event) => setEmail(event.target.value)} />
      </label>
      <label className="field">
        <span>{t.signIn.password}</span>
        <input type="password" autoComplete="current-password" required value={password} onChange={(event) => setPassword(event.target.value)} />
      </label>
      <p className="problem" role="alert">{said}</p>
      <button className="button primary wide" type="submit" disabled={isBusy}>{t.signIn.submit}</button>
      <button
        className="button quiet wide" type="button" disabled={isBusy}
        onClick={() => (email === '' ? setSaid(t.signIn.needEmail) : void act(() => accounts.byLink(email), t.signIn.linkSent))}
      >
        {t.signIn.sendLink}
      </button>
    </form>
  );
}
