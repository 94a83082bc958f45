// Whether scraper, realtime and function are there, and what it means when one is not.
import { useEffect, useState } from 'react';
import type { LampState } from '../data/lamps';
import { t } from '../texts';
import { useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';

const NAMES = ['scraper', 'realtime', 'function'] as const;
const PATIENCE_MS = 1500; // connecting anew takes moments; only what lasts is worth a sentence

function useStates(): Record<(typeof NAMES)[number], LampState> {
  const monitor = useMonitor();
  useTopic(monitor.lampsChanged);
  return { scraper: monitor.scraperLamp.state, realtime: monitor.realtimeLamp.state, function: monitor.functionLamp.lamp.state };
}

export function Lamps() {
  const states = useStates();
  const away = NAMES.filter((name) => states[name] !== 'up').length;
  return (
    <ul className="lamps" aria-label={t.lamps.label}>
      <li className={`lamp-sum ${away === 0 ? 'up' : 'away'}`} aria-hidden="true">{away === 0 ? t.lamps.allUp : t.lamps.someAway(away)}</li>
      {NAMES.map((name) => (
        <li key={name} className={`lamp ${states[name]}`} data-lamp={name} data-state={states[name]} title={`${t.lamps[name]}: ${t.lamps[states[name]]}`}>
          <span className="dot" aria-hidden="true" />
          <span className="lamp-name">{t.lamps[name]}</span>
          <span className="hidden">: {t.lamps[states[name]]}</span>
        </li>
      ))}
    </ul>
  );
}

export function ConnectionNotice() {
  const monitor = useMonitor();
  const states = useStates();
  const isAway = (name: (typeof NAMES)[number]) => states[name] === 'away' || states[name] === 'connecting';
  const { pending, alarm } = monitor.functionLamp;
  let text = '';
  if (isAway('scraper') && isAway('realtime')) text = isAway('function') ? t.lamps.messages.all : t.lamps.messages.both;
  else if (isAway('scraper')) text = t.lamps.messages.scraper;
  else if (isAway('function')) text = t.lamps.messages.function;
  else if (isAway('realtime')) text = t.lamps.messages.realtime;
  else if (alarm !== '') text = t.lamps.alarm(alarm);
  const waiting = pending > 0 ? t.lamps.waiting(pending) : '';

  const [isOld, setOld] = useState(false);
  const isWorth = text !== '' || waiting !== '';
  useEffect(() => {
    if (!isWorth) return setOld(false);
    const timer = setTimeout(() => setOld(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [isWorth]);

  return (
    <div className="notices" role="status">
      {isWorth && isOld && (
        <div className="notice warn" data-notice="connection">
          <Icon name="again" />
          <p>{text} {waiting}</p>
        </div>
      )}
    </div>
  );
}
