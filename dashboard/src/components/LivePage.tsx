import { useCallback, useRef, useState, type FormEvent } from 'react';
import { readAddress } from '../lib/address';
import { t } from '../texts';
import { AlertList } from './AlertList';
import { useCommand, useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';
import { StreamPanel } from './StreamPanel';

export function LivePage() {
  const monitor = useMonitor();
  useTopic(monitor.changed);
  const streams = [...monitor.streams.values()].sort((a, b) => Number(b.isActive) - Number(a.isActive) || b.startedAt - a.startedAt);
  return (
    <div className="live-page">
      <div className="live-main">
        <h1 className="hidden">{t.nav.live}</h1>
        <StartForm />
        {streams.length === 0 ? (
          <div className="empty">
            <div className="empty-art" aria-hidden="true"><Icon name="live" /></div>
            <h2>{t.stream.none}</h2>
            <p>{t.stream.noneHint}</p>
          </div>
        ) : (
          <div className={`streams count-${Math.min(streams.length, 3)}`}>
            {streams.map((stream) => <StreamPanel key={stream.id} stream={stream} />)}
          </div>
        )}
      </div>
      <aside className="live-side" aria-labelledby="latest-buyers">
        <div className="side-head">
          <h2 id="latest-buyers">{t.buyers.live}</h2>
          <a href="#/buyers">{t.buyers.seeAll}</a>
        </div>
        <LatestBuyers />
      </aside>
    </div>
  );
}

function LatestBuyers() {
  const monitor = useMonitor();
  useTopic(monitor.alertsChanged);
  const alerts = monitor.alerts.list().slice(0, 30);
  if (alerts.length === 0) return <p className="muted side-empty">{t.buyers.noneHint}</p>;
  return <AlertList alerts={alerts} isCompact />;
}

function StartForm() {
  const monitor = useMonitor();
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');
  const input = useRef<HTMLInputElement>(null);
  useCommand('address', useCallback(() => input.current?.focus(), []));

  const watch = (url: string | undefined, typed: string) => {
    setProblem('');
    setText('');
    monitor.watch(url).catch((error: Error) => {
      setProblem(error.message);
      setText((now) => (now === '' ? typed : now));
    });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const url = readAddress(text);
    if (url === undefined) {
      setProblem(t.start.badAddress);
      input.current?.focus();
    } else watch(url, text);
  };
  return (
    <form className="start" aria-label={t.start.title} onSubmit={submit} noValidate>
      <div className="start-row">
        <input
          ref={input} type="url" inputMode="url" autoComplete="off" spellCheck={false} aria-label={t.start.address}
          placeholder={t.start.placeholder} value={text} aria-invalid={problem !== ''} aria-describedby="start-problem"
          onChange={(event) => setText(event.target.value)}
        />
        <button type="submit" className="button primary">{t.start.submit}</button>
        <button type="button" className="button" title={t.start.discoverHint} onClick={() => watch(undefined, '')}>
          <Icon name="wand" />{t.start.discover}
        </button>
      </div>
      <p id="start-problem" className="problem" role="alert">{problem}</p>
    </form>
  );
}
