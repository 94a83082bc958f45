import { useEffect, useState } from 'react';
import { dateTime, epoch } from '../lib/format';
import type { SessionRow } from '../lib/rows';
import { t } from '../texts';
import { useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';
import { Numbers, ReportProblem, useReport } from './Numbers';

const OFFERED = 30; // shows to choose from

export default function NumbersPage({ id }: { id: string | undefined }) {
  const monitor = useMonitor();
  useTopic(monitor.changed);
  const [rows, setRows] = useState<SessionRow[]>();
  useEffect(() => {
    monitor.database.sessions(OFFERED).then(setRows).catch(() => setRows([]));
  }, [monitor, monitor.streams.size]);

  const running = [...monitor.streams.values()].filter((each) => each.isActive);
  const known = new Set(running.map((each) => each.id));
  const choices = [
    ...running.map((each) => ({ id: each.id, name: `${monitor.nameOf(each.id)} · ${t.past.running}` })),
    ...(rows ?? []).filter((row) => !known.has(row.id)).map((row) => ({ id: row.id, name: `${monitor.nameOf(row.id)} · ${dateTime(epoch(row.started_at))}` })),
  ];
  const chosen = choices.find((each) => each.id === id) ?? choices[0];
  return (
    <div className="page">
      <div className="page-head">
        <h1>{t.numbers.title}</h1>
        {choices.length > 0 && (
          <select aria-label={t.numbers.show} value={chosen?.id} onChange={(event) => { location.hash = `#/numbers/${event.target.value}`; }}>
            {choices.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
          </select>
        )}
      </div>
      {chosen ? (
        <OfSession key={chosen.id} id={chosen.id} isRunning={known.has(chosen.id)} />
      ) : rows && (
        <div className="empty">
          <div className="empty-art" aria-hidden="true"><Icon name="numbers" /></div>
          <h2>{t.numbers.none}</h2>
          <p>{t.numbers.noneHint}</p>
        </div>
      )}
    </div>
  );
}

function OfSession({ id, isRunning }: { id: string; isRunning: boolean }) {
  const report = useReport(id, isRunning);
  return (
    <>
      <ReportProblem report={report} />
      <Numbers report={report} />
    </>
  );
}
