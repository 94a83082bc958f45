import { useCallback, useRef, useState } from 'react';
import { alertOfSale, type Alert } from '../lib/alerts';
import { csv } from '../lib/csv';
import { download } from '../lib/download';
import { money } from '../lib/format';
import { t } from '../texts';
import { AlertList } from './AlertList';
import { useCommand, useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';
import type { Monitor } from '../data/monitor';

type Which = 'all' | 'open' | 'done';
const WHICH: Which[] = ['all', 'open', 'done'];

async function exportCsv(monitor: Monitor, alerts: readonly Alert[]): Promise<void> {
  // Without the database the file has gaps, but there is a file.
  const complete = await monitor.complete(alerts).catch(() => alerts);
  const rows = complete.map((each) => [
    new Date(each.at).toISOString(), monitor.nameOf(each.sessionId), each.user, each.text, each.item, each.offer, each.confidence, each.type,
    each.isConfirmed ? 'yes' : 'no', monitor.isContacted(each.id) ? 'yes' : 'no', each.id,
  ]);
  download(t.buyers.csvName(new Date().toISOString().slice(0, 10)), csv(t.buyers.csvHeader, rows), 'text/csv;charset=utf-8');
}

export function BuyersPage() {
  const monitor = useMonitor();
  useTopic(monitor.alertsChanged);
  useTopic(monitor.contactedChanged);
  return (
    <div className="page">
      <BuyersOf alerts={monitor.alerts.list()} title={t.buyers.title} level={1} hasOlder />
    </div>
  );
}

interface Props {
  alerts: readonly Alert[];
  title: string;
  level: 1 | 2;
  hasOlder?: boolean;
}

export function BuyersOf({ alerts, title, level, hasOlder = false }: Props) {
  const monitor = useMonitor();
  const [which, setWhich] = useState<Which>('all');
  const [search, setSearch] = useState('');
  const [show, setShow] = useState('');
  const [isDone, setDone] = useState(!hasOlder);
  const [drawn, setDrawn] = useState(200);
  const input = useRef<HTMLInputElement>(null);
  useCommand('search', useCallback(() => input.current?.focus(), []));

  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = alerts.filter((each) => {
    if (which !== 'all' && monitor.isContacted(each.id) !== (which === 'done')) return false;
    if (show !== '' && each.sessionId !== show) return false;
    const text = `${each.user} ${each.text} ${each.item ?? ''}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const offered = found.reduce((sum, each) => sum + (each.offer ?? 0), 0);
  const shows = [...new Set(alerts.map((each) => each.sessionId))];
  const Heading = level === 1 ? 'h1' : 'h2';

  const older = async () => {
    const before = alerts[alerts.length - 1]?.at;
    const rows = await monitor.database.newestSales(200, before).catch(() => undefined);
    if (!rows) return;
    let isNew = false;
    for (const row of rows) isNew = monitor.alerts.add(alertOfSale(row)) || isNew;
    setDone(!isNew);
    setDrawn((now) => now + 200);
    monitor.alertsChanged.touch();
  };

  return (
    <>
      <div className="page-head">
        <div>
          <Heading>{title}</Heading>
          <p className="muted">{t.buyers.total(found.length, money(offered))}</p>
        </div>
        <button type="button" className="button" disabled={found.length === 0} onClick={() => void exportCsv(monitor, found)}>
          <Icon name="export" />{t.buyers.csv}
        </button>
      </div>
      {alerts.length === 0 ? (
        <div className="empty">
          <div className="empty-art" aria-hidden="true"><Icon name="buyers" /></div>
          <h2>{t.buyers.none}</h2>
          <p>{t.buyers.noneHint}</p>
        </div>
      ) : (
        <>
          <div className="tools">
            <div className="segments" role="group" aria-label={t.buyers.filter}>
              {WHICH.map((each) => (
                <button key={each} type="button" aria-pressed={which === each} onClick={() => setWhich(each)}>{t.buyers[each]}</button>
              ))}
            </div>
            <div className="search">
              <Icon name="search" />
              <input
                ref={input} type="search" aria-label={t.buyers.search} placeholder={t.buyers.search} value={search}
                onChange={(event) => setSearch(event.target.value)}
                onKeyDown={(event) => { if (event.key === 'Escape') setSearch(''); }}
              />
            </div>
            {shows.length > 1 && (
              <select aria-label={t.buyers.show} value={show} onChange={(event) => setShow(event.target.value)}>
                <option value="">{t.buyers.allShows}</option>
                {shows.map((id) => <option key={id} value={id}>{monitor.nameOf(id)}</option>)}
              </select>
            )}
          </div>
          {found.length === 0 ? <p className="muted">{t.buyers.noneMatch}</p> : <AlertList alerts={found.slice(0, drawn)} />}
          {(!isDone || found.length > drawn) && (
            <button type="button" className="button more" onClick={() => (found.length > drawn ? setDrawn(drawn + 200) : void older())}>{t.buyers.older}</button>
          )}
        </>
      )}
    </>
  );
}
