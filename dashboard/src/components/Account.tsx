import { useCallback, useEffect, useRef, useState } from 'react';
import { dateTime } from '../lib/format';
import { t } from '../texts';
import { say, useEvery, useMonitor, useTopic, useUi } from './hooks';
import { Icon } from './Icon';

const SOON_MS = 10 * 60_000;

export function AccountMenu() {
  const { signedIn } = useMonitor();
  const ui = useUi();
  useTopic(ui.changed);
  const [isOpen, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  useEffect(() => {
    if (!isOpen) return;
    const away = (event: Event) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener('pointerdown', away);
    document.addEventListener('focusin', away);
    document.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', away);
      document.removeEventListener('focusin', away);
      document.removeEventListener('keydown', escape);
    };
  }, [isOpen]);

  return (
    <div className="menu-box" ref={box}>
      <button
        ref={button} type="button" className="icon-button" aria-label={t.account.menu} title={t.account.menu}
        aria-expanded={isOpen} aria-controls="account-menu" onClick={() => setOpen(!isOpen)}
      >
        <Icon name="user" />
      </button>
      {isOpen && (
        <div className="menu" id="account-menu">
          <p className="menu-title">{signedIn.label}</p>
          {Number.isFinite(signedIn.expiresAt) && <p className="muted small">{t.account.until(dateTime(signedIn.expiresAt))}</p>}
          <button type="button" className="button quiet wide" onClick={() => { setOpen(false); say('help'); }}>
            <Icon name="keyboard" />{t.help.open}
          </button>
          <button
            type="button" className="button quiet wide menu-theme"
            onClick={() => ui.setTheme(({ system: 'dark', dark: 'light', light: 'system' } as const)[ui.theme])}
          >
            <Icon name={({ system: 'system', dark: 'moon', light: 'sun' } as const)[ui.theme]} />{t.theme[ui.theme]}
          </button>
          <button type="button" className="button quiet wide" onClick={() => signedIn.signOut()}>{t.account.signOut}</button>
        </div>
      )}
    </div>
  );
}

// A token ends; say so before it does, and when the server refuses it.
export function TokenNotice() {
  const monitor = useMonitor();
  const { signedIn } = monitor;
  useTopic(monitor.lampsChanged);
  const [now, setNow] = useState(Date.now());
  useEvery(2_000, useCallback(() => setNow(Date.now()), []));
  const left = signedIn.expiresAt - now;
  let text = '';
  if (left <= 0) text = t.account.expired;
  else if (monitor.scraperLamp.state === 'refused') text = t.account.refused;
  else if (left < SOON_MS) text = t.account.expiresSoon(Math.max(1, Math.round(left / 60_000)));
  return (
    <div className="notices" role="status">
      {text !== '' && (
        <div className={left < SOON_MS && left > 0 ? 'notice' : 'notice bad'}>
          <Icon name="clock" />
          <p>{text}</p>
          <button type="button" className="button small" onClick={() => signedIn.signOut()}>{t.account.again}</button>
        </div>
      )}
    </div>
  );
}
