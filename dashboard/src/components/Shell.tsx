// The frame around the pages: navigation, connections, account, toasts, shortcuts.
import { lazy, Suspense, useCallback, useEffect, useRef, type ReactNode } from 'react';
import { t } from '../texts';
import { AccountMenu, TokenNotice } from './Account';
import { BuyersPage } from './BuyersPage';
import { HelpDialog } from './Help';
import { say, useRoute, useTitle, useTopic, useMonitor, useUi } from './hooks';
import { Icon, Logo, type IconName } from './Icon';
import { ConnectionNotice, Lamps } from './Lamps';
import { LivePage } from './LivePage';
import { Toasts } from './Toasts';

// Charts are a third of the page's weight and not on its first screen.
const NumbersPage = lazy(() => import('./NumbersPage'));
const PastPage = lazy(() => import('./PastPage'));

const PAGES: { path: string; name: string; icon: IconName }[] = [
  { path: 'live', name: t.nav.live, icon: 'live' },
  { path: 'buyers', name: t.nav.buyers, icon: 'buyers' },
  { path: 'numbers', name: t.nav.numbers, icon: 'numbers' },
  { path: 'past', name: t.nav.past, icon: 'past' },
];

export function Shell() {
  const [page = 'live', ...rest] = useRoute();
  const main = useRef<HTMLElement>(null);
  const skip = useCallback(() => main.current?.focus(), []);
  useShortcuts();
  const known = PAGES.find((each) => each.path === page) ?? PAGES[0]!;
  useTitle(`${known.name} – ${t.productLong}`);

  let content: ReactNode;
  if (known.path === 'buyers') content = <BuyersPage />;
  else if (known.path === 'numbers') content = <NumbersPage id={rest[0]} />;
  else if (known.path === 'past') content = <PastPage id={rest[0]} tab={rest[1]} />;
  else content = <LivePage />;

  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); skip(); }}>{t.skip}</a>
      <header className="top">
        <a className="brand" href="#/live"><Logo /><span>{t.product}</span></a>
        <nav className="nav" aria-label={t.nav.label}>
          {PAGES.map((each) => (
            <a key={each.path} href={`#/${each.path}`} aria-current={each === known ? 'page' : undefined}>
              <Icon name={each.icon} />
              <span>{each.name}</span>
              {each.path === 'buyers' && <OpenCount />}
            </a>
          ))}
        </nav>
        <div className="top-right">
          <Lamps />
          <SoundButton />
          <ThemeButton />
          <AccountMenu />
        </div>
      </header>
      <TokenNotice />
      <ConnectionNotice />
      <main id="main" ref={main} tabIndex={-1}>
        <Suspense fallback={<div className="page" aria-busy="true" />}>{content}</Suspense>
      </main>
      <Toasts />
      <HelpDialog />
    </div>
  );
}

// Buyers nobody has contacted yet.
function OpenCount() {
  const monitor = useMonitor();
  useTopic(monitor.alertsChanged);
  useTopic(monitor.contactedChanged);
  const open = monitor.alerts.list().filter((each) => !monitor.isContacted(each.id)).length;
  return open === 0 ? null : <span className="badge" aria-label={`${open} ${t.buyers.open.toLowerCase()}`}>{open > 99 ? '99+' : open}</span>;
}

function SoundButton() {
  const ui = useUi();
  useTopic(ui.changed);
  return (
    <button
      type="button" className="icon-button" aria-pressed={ui.isSoundOn} aria-label={t.sound.label}
      title={ui.isSoundOn ? t.sound.on : t.sound.off} onClick={() => ui.setSound(!ui.isSoundOn)}
    >
      <Icon name={ui.isSoundOn ? 'sound' : 'mute'} />
    </button>
  );
}

function ThemeButton() {
  const ui = useUi();
  useTopic(ui.changed);
  const next = { system: 'dark', dark: 'light', light: 'system' } as const;
  const icon = { system: 'system', dark: 'moon', light: 'sun' } as const;
  return (
    <button
      type="button" className="icon-button theme-button" aria-label={t.theme[ui.theme]} title={t.theme[ui.theme]}
      onClick={() => ui.setTheme(next[ui.theme])}
    >
      <Icon name={icon[ui.theme]} />
    </button>
  );
}

function useShortcuts(): void {
  const ui = useUi();
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const isTyping = target.closest('input:not([type=range]):not([type=checkbox]), textarea, select, [contenteditable]') !== null;
      if (!ui.hasShortcuts || isTyping || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
      const page = PAGES[Number(event.key) - 1];
      const commands = { n: 'address', '/': 'search', p: 'pause', b: 'buyers', '?': 'help' } as const;
      if (page) location.hash = `#/${page.path}`;
      else if (event.key === 'm') ui.setSound(!ui.isSoundOn);
      else if (event.key in commands) say(commands[event.key as keyof typeof commands]);
      else return;
      event.preventDefault();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [ui]);
}
