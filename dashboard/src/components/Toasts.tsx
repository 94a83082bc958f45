import { useEffect, useRef } from 'react';
import { money, percent } from '../lib/format';
import { t } from '../texts';
import { useTopic, useUi } from './hooks';
import { Icon } from './Icon';
import type { Toast } from './ui';

const SHOWN_MS = 8000;

export function Toasts() {
  const ui = useUi();
  useTopic(ui.toastsChanged);
  return (
    <>
      <p className="hidden" role="status" aria-live="polite">{ui.spoken}</p>
      <section className="toasts" aria-label={t.toast.label}>
        {ui.toasts.map((toast) => <ToastCard key={toast.id} toast={toast} />)}
        {ui.toastsMore > 0 && <a className="toast-more" href="#/buyers">{t.toast.more(ui.toastsMore)}</a>}
      </section>
    </>
  );
}

function ToastCard({ toast }: { toast: Toast }) {
  const ui = useUi();
  const isHeld = useRef(false);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!isHeld.current) ui.dismiss(toast.id);
    }, SHOWN_MS);
    return () => clearInterval(timer);
  }, [ui, toast.id]);
  const { alert } = toast;
  const hold = (is: boolean) => () => {
    isHeld.current = is;
  };
  return (
    <div className="toast" onPointerEnter={hold(true)} onPointerLeave={hold(false)} onFocus={hold(true)} onBlur={hold(false)}>
      <div className="toast-text">
        <strong>{t.toast.buyer(alert.user)}</strong>
        <p>{alert.text}</p>
      </div>
      <div className="toast-side">
        {alert.offer !== null && <strong className="offer">{money(alert.offer)}</strong>}
        {alert.confidence !== null && <span className="small">{percent(alert.confidence)}</span>}
      </div>
      <button type="button" className="icon-button small" aria-label={t.toast.dismiss} onClick={() => ui.dismiss(toast.id)}>
        <Icon name="close" />
      </button>
    </div>
  );
}
