import { money, percent } from '../lib/format';
import { t } from '../texts';
import { useTopic, useUi } from './hooks';
import { Icon } from './Icon';
import type { Toast } from './ui';

export function Toasts() {
  const ui = useUi();
  useTopic(ui.toastsChanged);
  return (
    <>
      <p className="hidden" role="status" aria-live="polite">{ui.spoken}</p>
      <section className="toasts" aria-label={t.toast.label}>{ui.toast && <Card toast={ui.toast} />}</section>
    </>
  );
}

function Card({ toast: { alert, more } }: { toast: Toast }) {
  const ui = useUi();
  const hold = (is: boolean) => () => {
    ui.isToastHeld = is;
  };
  return (
    <div className="toast" onPointerEnter={hold(true)} onPointerLeave={hold(false)} onFocus={hold(true)} onBlur={hold(false)}>
      <div className="toast-text">
        <strong>{t.toast.buyer(alert.user)}</strong>
        <p>{alert.text}</p>
        {more > 0 && <a className="small" href="#/buyers">{t.toast.more(more)}</a>}
      </div>
      <div className="toast-side">
        {alert.offer !== null && <strong className="offer">{money(alert.offer)}</strong>}
        {alert.confidence !== null && <span className="small">{percent(alert.confidence)}</span>}
      </div>
      <button type="button" className="icon-button small" aria-label={t.toast.dismiss} onClick={() => ui.dismiss()}>
        <Icon name="close" />
      </button>
    </div>
  );
}
