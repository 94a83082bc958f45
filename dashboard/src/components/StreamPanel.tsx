// One show: what it is, how it fares, its chat.
import { useCallback, useRef, useState } from 'react';
import type { Stream } from '../data/monitor';
import type { LineFilter } from '../lib/feed';
import { count, moneyShort } from '../lib/format';
import { showName } from '../lib/address';
import { t } from '../texts';
import { FeedView, type FeedHandle } from './FeedView';
import { useCommand, useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';

const stateName = (state: string) => (t.state as unknown as Record<string, string>)[state] ?? state;

export function StreamPanel({ stream }: { stream: Stream }) {
  const monitor = useMonitor();
  const { info } = stream;
  const name = info.title ?? (info.url === '' ? (stream.isActive || stream.isStarting ? t.stream.finding : t.stream.unnamed) : showName(info.url));
  const titleId = `stream-${stream.id}`;
  return (
    <section className="panel" aria-labelledby={titleId} data-session={stream.id} data-state={stream.state}>
      <header className="panel-head">
        <div className="panel-title">
          <h2 id={titleId} title={name}>{name}</h2>
          <p className="muted small ellipsis">
            {info.host !== null && <span>{t.stream.by(info.host)}</span>}
            {info.viewers !== null && <span>{t.stream.viewers(info.viewers)}</span>}
            {/^https?:/.test(info.url) && (
              <a href={info.url} target="_blank" rel="noreferrer noopener" aria-label={t.stream.open} title={t.stream.open}><Icon name="link" /></a>
            )}
          </p>
        </div>
        <div className="panel-actions">
          {stream.isActive || stream.isStarting ? (
            <button type="button" className="button small" disabled={stream.isStopping} onClick={() => void monitor.unwatch(stream.id)}>
              <Icon name="stop" />{stream.isStopping ? t.stream.stopping : t.stream.stop}
            </button>
          ) : (
            <>
              <button type="button" className="button small" onClick={() => void monitor.watchAgain(stream.id)}><Icon name="again" />{t.stream.again}</button>
              <button type="button" className="icon-button small" aria-label={`${t.stream.close}: ${name}`} title={t.stream.close} onClick={() => monitor.forget(stream.id)}>
                <Icon name="close" />
              </button>
            </>
          )}
        </div>
      </header>
      <StateLine stream={stream} />
      <Figures stream={stream} />
      {stream.problem !== '' && <p className="problem panel-problem" role="alert">{stream.problem}</p>}
      <Chat stream={stream} name={name} />
    </section>
  );
}

function StateLine({ stream }: { stream: Stream }) {
  const explain = t.state.explain[stream.state] ?? '';
  return (
    <p className="state-line">
      <span className={`state ${stream.state}`}><span className="dot" aria-hidden="true" />{stateName(stream.state)}</span>
      <span className="muted small ellipsis" title={stream.reason || explain}>{stream.reason || explain}</span>
    </p>
  );
}

function Figures({ stream }: { stream: Stream }) {
  const monitor = useMonitor();
  useTopic(monitor.changed);
  const alerts = monitor.alerts.list().filter((each) => each.sessionId === stream.id);
  const offered = alerts.reduce((sum, each) => sum + (each.offer ?? 0), 0);
  const buyers = Math.max(stream.buyers, alerts.length);
  const figures: [string, string, string][] = [
    [count(stream.messages), t.stream.messages, ''],
    [count(stream.perMinute), t.stream.perMinute, ''],
    [count(buyers), t.stream.buyers, buyers > 0 ? 'good' : ''],
    [moneyShort(offered), t.stream.offered, offered > 0 ? 'good' : ''],
  ];
  return (
    <dl className="figures">
      {figures.map(([value, name, tone]) => (
        <div key={name} className={tone}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

const FILTERS: LineFilter[] = ['all', 'buyers', 'questions'];

function Chat({ stream, name }: { stream: Stream; name: string }) {
  const [filter, setFilter] = useState<LineFilter>('all');
  const [search, setSearch] = useState('');
  const [isFollowing, setFollowing] = useState(true);
  const feed = useRef<FeedHandle>(null);
  const input = useRef<HTMLInputElement>(null);
  const panel = useRef<HTMLDivElement>(null);

  // A key means the panel that has the focus, else the first one.
  const isMeant = useCallback(() => {
    const focused = document.activeElement?.closest('.chat');
    return panel.current !== null && (focused === panel.current || (!focused && document.querySelector('.chat') === panel.current));
  }, []);
  useCommand('search', useCallback(() => { if (isMeant()) input.current?.focus(); }, [isMeant]));
  useCommand('pause', useCallback(() => { if (isMeant()) feed.current?.toggle(); }, [isMeant]));
  useCommand('buyers', useCallback(() => { if (isMeant()) setFilter((now) => (now === 'buyers' ? 'all' : 'buyers')); }, [isMeant]));

  return (
    <div className="chat" ref={panel}>
      <div className="chat-tools">
        <div className="segments" role="group" aria-label={t.feed.filter}>
          {FILTERS.map((each) => (
            <button key={each} type="button" aria-pressed={filter === each} onClick={() => setFilter(each)}>{t.feed[each]}</button>
          ))}
        </div>
        <div className="search">
          <Icon name="search" />
          <input
            ref={input} type="search" aria-label={`${t.feed.search}: ${name}`} placeholder={t.feed.search} value={search}
            onChange={(event) => setSearch(event.target.value)}
            onKeyDown={(event) => { if (event.key === 'Escape') setSearch(''); }}
          />
        </div>
        <button
          type="button" className="icon-button small" aria-pressed={!isFollowing} aria-label={isFollowing ? t.feed.pause : t.feed.follow}
          title={isFollowing ? t.feed.pause : t.feed.follow} onClick={() => feed.current?.toggle()}
        >
          <Icon name={isFollowing ? 'pause' : 'play'} />
        </button>
      </div>
      <FeedView ref={feed} stream={stream} name={name} filter={filter} search={search} onFollowing={setFollowing} />
    </div>
  );
}
