// Settings, then who is signed in, then the pages.
import { Component, useCallback, useEffect, useMemo, useState, type ReactNode } from 'react';
import { Monitor } from '../data/monitor';
import { Accounts, forgetToken, keepToken, signInByToken, storedToken, type SignedIn } from '../data/session';
import { readSettings, type Given, type Settings } from '../lib/settings';
import { takeFromFragment, tokenProblem, type TokenProblem } from '../lib/token';
import { t } from '../texts';
import { MonitorContext, UiContext } from './hooks';
import { Logo } from './Icon';
import { Shell } from './Shell';
import { SignIn } from './SignIn';
import { unlockSound } from './sound';
import { Ui } from './ui';

declare global {
  interface Window {
    DEALFLOW_CONFIG?: Given;
  }
}

// Before anything else looks at the address: the token goes into this browser's storage and out of the
// address bar and the history.
function tokenFromAddress(): TokenProblem | undefined {
  const found = takeFromFragment(location.hash);
  if (!found) return undefined;
  history.replaceState(null, '', location.pathname + location.search + found.rest);
  return keepToken(found.token);
}

function settings(): Settings | string {
  try {
    const made = readSettings(window.DEALFLOW_CONFIG, import.meta.env as unknown as Given, location.href);
    return made.publishableKey === '' ? t.signIn.noKey : made;
  } catch (error) {
    return (error as Error).message;
  }
}

let boot: { settings: Settings | string; problem: TokenProblem | undefined } | undefined;

export function App() {
  boot ??= { problem: tokenFromAddress(), settings: settings() };
  return (
    <Crash>
      {typeof boot.settings === 'string' ? (
        <Message title={t.error.settings} text={boot.settings} />
      ) : (
        <Door settings={boot.settings} problem={boot.problem} />
      )}
    </Crash>
  );
}

function Door({ settings, problem }: { settings: Settings; problem: TokenProblem | undefined }) {
  const ui = useMemo(() => new Ui(), []);
  const [signedIn, setSignedIn] = useState<SignedIn>();
  const [why, setWhy] = useState(problem);
  const [accounts, setAccounts] = useState<Accounts>();

  const byToken = useCallback((token: string): TokenProblem | undefined => {
    const wrong = keepToken(token);
    if (!wrong) setSignedIn(signInByToken(settings, token, () => setSignedIn(undefined)));
    return wrong;
  }, [settings]);

  useEffect(() => {
    const kept = storedToken();
    const wrong = kept === undefined ? undefined : tokenProblem(kept, Date.now());
    if (kept !== undefined && !wrong) byToken(kept);
    else if (kept !== undefined) {
      forgetToken();
      setWhy(wrong);
    }
    if (settings.signIn === 'account' && (kept === undefined || wrong)) setAccounts(new Accounts(settings, setSignedIn));
  }, [settings, byToken]);

  // A link with a token may be opened while the page is open.
  useEffect(() => {
    const onHash = () => {
      const found = takeFromFragment(location.hash);
      if (!found) return;
      history.replaceState(null, '', location.pathname + location.search + found.rest);
      setWhy(byToken(found.token));
    };
    window.addEventListener('hashchange', onHash);
    return () => window.removeEventListener('hashchange', onHash);
  }, [byToken]);

  useEffect(() => {
    const unlock = () => unlockSound();
    window.addEventListener('pointerdown', unlock);
    window.addEventListener('keydown', unlock);
    return () => {
      window.removeEventListener('pointerdown', unlock);
      window.removeEventListener('keydown', unlock);
    };
  }, []);

  return (
    <UiContext value={ui}>
      {signedIn ? <Inside key={signedIn.user} settings={settings} signedIn={signedIn} ui={ui} /> : <SignIn accounts={accounts} byToken={byToken} problem={why} />}
    </UiContext>
  );
}

function Inside({ settings, signedIn, ui }: { settings: Settings; signedIn: SignedIn; ui: Ui }) {
  const [monitor, setMonitor] = useState<Monitor>();
  useEffect(() => {
    const made = new Monitor(settings, signedIn);
    made.onNewBuyer = (alert) => ui.announce(alert);
    ui.onSound = (isOn) => void made.database.setSound(isOn).catch(() => {});
    void made.start();
    void made.database.soundEnabled().then((isOn) => {
      if (isOn !== undefined) ui.setSound(isOn, false);
    }).catch(() => {});
    setMonitor(made);
    return () => made.stop();
  }, [settings, signedIn, ui]);
  if (!monitor) return null;
  return (
    <MonitorContext value={monitor}>
      <Shell />
    </MonitorContext>
  );
}

function Message({ title, text }: { title: string; text: string }) {
  return (
    <main className="door">
      <div className="door-card">
        <Logo />
        <h1>{title}</h1>
        <p role="alert">{text}</p>
      </div>
    </main>
  );
}

class Crash extends Component<{ children: ReactNode }, { text: string }> {
  override state = { text: '' };

  static getDerivedStateFromError(error: unknown) {
    return { text: String(error) };
  }

  override render() {
    if (this.state.text === '') return this.props.children;
    return (
      <main className="door">
        <div className="door-card">
          <Logo />
          <h1>{t.error.crashed}</h1>
          <p role="alert">{this.state.text}</p>
          <button className="button primary" type="button" onClick={() => location.reload()}>
            {t.error.reload}
          </button>
        </div>
      </main>
    );
  }
}
