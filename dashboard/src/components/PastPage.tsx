// Every show of this user; one of them with its numbers, buyers, replay, and "what if".
import { useCallback, useEffect, useState } from 'react';
import { count, dateTime, duration, epoch, money } from '../lib/format';
import { revenue, type SessionRow } from '../lib/rows';
import { t } from '../texts';
import { BuyersOf } from './BuyersPage';
import { useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';
import { Numbers, ReportProblem, useReport } from './Numbers';
import { Replay } from './Replay';
import { WhatIfPanel } from './WhatIfPanel';

const PAGE = 50;

export default function PastPage({ id, tab }: { id: string | undefined; tab: string | undefined }) {
  return <div className="page">{id === undefined ? <List /> : <Show key={id} id={id} tab={tab} />}</div>;
}

function List() {
  const monitor = useMonitor();
  useTopic(monitor.changed);
  const [rows, setRows] = useState<SessionRow[]>();
  const [hasMore, setMore] = useState(false);
  const [problem, setProblem] = useState('');
  const load = useCallback((offset: number) => {
    setProblem('');
    monitor.database.sessions(PAGE, offset).then((found) => {
      setMore(found.length === PAGE);
      setRows((now) => {
        const kept = offset === 0 ? [] : now ?? [];
        const known = new Set(kept.map((row) => row.id));
        return [...kept, ...found.filter((row) => !known.has(row.id))];
      });
    }).catch((error: Error) => setProblem(error.message));
  }, [monitor]);
  useEffect(() => load(0), [load]);

  return (
    <>
      <div className="page-head"><h1>{t.past.title}</h1></div>
      {problem !== '' && (
        <div className="notice bad" role="alert">
          <p>{t.past.failed(problem)}</p>
          <button type="button" className="button small" onClick={() => load(rows?.length ?? 0)}>{t.numbers.retry}</button>
        </div>
      )}
      {rows?.length === 0 && (
        <div className="empty">
          <div className="empty-art" aria-hidden="true"><Icon name="past" /></div>
          <h2>{t.past.none}</h2>
          <p>{t.past.noneHint}</p>
        </div>
      )}
      <ul className="shows">
        {rows?.map((row) => {
          const isRunning = monitor.streams.get(row.id)?.isActive ?? false;
          const started = epoch(row.started_at);
          return (
            <li key={row.id}>
              <a className="show" href={`#/past/${row.id}`}>
                <span className="show-name">
                  <strong className="ellipsis">{monitor.nameOf(row.id)}</strong>
                  <span className="muted small">{row.platform} · {dateTime(started)}</span>
                </span>
                <span className="show-fact">
                  {isRunning ? <span className="state live"><span className="dot" aria-hidden="true" />{t.past.running}</span>
                    : row.ended_at === null ? <span className="muted">{t.past.open}</span> : duration(epoch(row.ended_at) - started)}
                </span>
                <span className="show-fact"><strong>{count(row.total_sales_caught)}</strong> <span className="muted small">{t.stream.buyers}</span></span>
                <span className="show-fact offer">{money(revenue(row))}</span>
              </a>
            </li>
          );
        })}
      </ul>
      {hasMore && <button type="button" className="button more" onClick={() => load(rows?.length ?? 0)}>{t.past.more}</button>}
    </>
  );
}

const TABS = ['summary', 'buyers', 'replay', 'whatIf'] as const;

function Show({ id, tab }: { id: string; tab: string | undefined }) {
  const monitor = useMonitor();
  useTopic(monitor.changed);
  const isRunning = monitor.streams.get(id)?.isActive ?? false;
  const report = useReport(id, isRunning);
  const current = TABS.find((each) => each === tab) ?? 'summary';
  const { session } = report;
  return (
    <>
      <p className="crumbs"><a href="#/past">← {t.past.back}</a></p>
      <div className="page-head">
        <div>
          <h1>{monitor.nameOf(id)}</h1>
          {session && (
            <p className="muted">
              {session.platform} · {dateTime(epoch(session.started_at))}
              {session.ended_at !== null && ` · ${duration(epoch(session.ended_at) - epoch(session.started_at))}`}
              {isRunning && ` · ${t.past.running}`}
            </p>
          )}
        </div>
      </div>
      <nav className="tabs" aria-label={t.past.tabs.label}>
        {TABS.map((each) => (
          <a key={each} href={`#/past/${id}/${each}`} aria-current={each === current ? 'page' : undefined}>{t.past.tabs[each]}</a>
        ))}
      </nav>
      <ReportProblem report={report} />
      {session === null && report.problem === '' && <p className="muted">{t.past.unknown}</p>}
      {session !== null && current === 'summary' && <Numbers report={report} />}
      {session !== null && current === 'buyers' && <BuyersOf alerts={[...report.sales].reverse()} title={t.past.tabs.buyers} level={2} />}
      {session !== null && current === 'replay' && <Replay report={report} />}
      {session !== null && current === 'whatIf' && <WhatIfPanel report={report} />}
    </>
  );
}
