// Buyers: who, what they said, what they want and offer, how sure, whether it is saved.
import { memo, useState } from 'react';
import type { Alert } from '../lib/alerts';
import { dateTime, money, percent, timeOfDay } from '../lib/format';
import { t } from '../texts';
import { useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';

export function AlertList({ alerts, isCompact = false }: { alerts: readonly Alert[]; isCompact?: boolean }) {
  const monitor = useMonitor();
  useTopic(monitor.contactedChanged);
  return (
    <ul className={isCompact ? 'alerts compact' : 'alerts'}>
      {alerts.map((alert) => (
        <AlertCard
          key={alert.id} alert={alert} isContacted={monitor.isContacted(alert.id)}
          show={isCompact ? '' : monitor.nameOf(alert.sessionId)}
          onContacted={monitor.setContacted.bind(monitor)}
        />
      ))}
    </ul>
  );
}

interface CardProps {
  alert: Alert;
  isContacted: boolean;
  show: string;
  onContacted: (id: string, isContacted: boolean) => void;
}

const isToday = (at: number) => new Date(at).toDateString() === new Date().toDateString();

const AlertCard = memo(function AlertCard({ alert, isContacted, show, onContacted }: CardProps) {
  return (
    <li className={`alert${isContacted ? ' contacted' : ''}`} data-alert={alert.id} data-confirmed={alert.isConfirmed}>
      <div className="alert-top">
        <strong className="ellipsis">{alert.user}</strong>
        <Saved alert={alert} />
        <time dateTime={new Date(alert.at).toISOString()} className="muted small">{isToday(alert.at) ? timeOfDay(alert.at) : dateTime(alert.at)}</time>
      </div>
      <p className="alert-text">{alert.text}</p>
      <div className="alert-facts">
        {alert.item !== null && <span className="tag item">{alert.item}</span>}
        {alert.offer !== null ? <span className="offer">{money(alert.offer)}</span> : <span className="muted small">{t.buyers.noOffer}</span>}
        {alert.confidence !== null && <Confidence value={alert.confidence} />}
        {show !== '' && <span className="muted small ellipsis">{show}</span>}
      </div>
      <div className="alert-actions">
        <button
          type="button" className="button small toggle" aria-pressed={isContacted}
          title={isContacted ? t.buyers.unmarkContacted : t.buyers.markContacted} onClick={() => onContacted(alert.id, !isContacted)}
        >
          <Icon name="check" />{t.buyers.contacted}<span className="hidden">: {alert.user}</span>
        </button>
        <CopyButton alert={alert} />
      </div>
    </li>
  );
}, (a, b) => a.alert === b.alert && a.isContacted === b.isContacted && a.show === b.show);

function Saved({ alert }: { alert: Alert }) {
  if (alert.isConfirmed) return <span className="saved yes" title={t.buyers.confirmedHint}><Icon name="check" />{t.buyers.confirmed}</span>;
  if (alert.isDeclined) return <span className="saved no" title={t.buyers.declinedHint}>{t.buyers.declined}</span>;
  return <span className="saved wait" title={t.buyers.waitingHint}>{t.buyers.waiting}</span>;
}

export function Confidence({ value }: { value: number }) {
  return (
    <span className="confidence" title={t.buyers.confidence}>
      <span className="hidden">{t.buyers.confidence}: </span>
      <span className="bar" aria-hidden="true"><span style={{ width: `${Math.round(value * 100)}%` }} /></span>
      {percent(value)}
    </span>
  );
}

function CopyButton({ alert }: { alert: Alert }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    const text = `${alert.user}: ${alert.text}${alert.item === null ? '' : ` (${alert.item})`}${alert.offer === null ? '' : ` – ${money(alert.offer)}`}`;
    if (!(await writeClipboard(text))) return;
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" className="button small" title={t.buyers.copyHint} onClick={() => void copy()}>
      <Icon name={isDone ? 'check' : 'copy'} />
      <span aria-live="polite">{isDone ? t.buyers.copied : t.buyers.copy}</span><span className="hidden">: {alert.user}</span>
    </button>
  );
}

// navigator.clipboard is there on https and on this machine only; a box at home has neither.
async function writeClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.style.position = 'fixed';
    area.style.opacity = '0';
    document.body.append(area);
    area.select();
    const isDone = document.execCommand('copy');
    area.remove();
    return isDone;
  }
}
