// The numbers and pictures of one show.
import { useCallback, useEffect, useMemo, useState } from 'react';
import { LINES_MAX, Report } from '../data/report';
import { t } from '../texts';
import { Chart } from './Chart';
import { useMonitor, useTopic } from './hooks';
import { buyersPicture, confidencePicture, facts, linesPicture, spanOf, typesPicture } from './pictures';

const REFRESH_MS = 5000;

// isRunning: asked again every few seconds.
export function useReport(sessionId: string, isRunning: boolean): Report {
  const { database } = useMonitor();
  const report = useMemo(() => new Report(database, sessionId), [database, sessionId]);
  useTopic(report.changed);
  useEffect(() => {
    void report.load();
    if (!isRunning) return;
    const timer = setInterval(() => {
      if (!document.hidden) void report.load();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [report, isRunning]);
  return report;
}

export function ReportProblem({ report }: { report: Report }) {
  const [, again] = useState(0);
  const retry = useCallback(() => {
    void report.load();
    again((n) => n + 1);
  }, [report]);
  if (report.problem === '') return null;
  return (
    <div className="notice bad" role="alert">
      <p>{t.numbers.failed(report.problem)}</p>
      <button type="button" className="button small" onClick={retry}>{t.numbers.retry}</button>
    </div>
  );
}

export function Numbers({ report }: { report: Report }) {
  const { version } = report.changed;
  // Everything below is computed from the report as it was at this version.
  const pictures = useMemo(() => {
    const span = spanOf(report);
    return { lines: linesPicture(report, span), buyers: buyersPicture(report, span), sure: confidencePicture(report), types: typesPicture(report, span) };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [report, version]);

  if (report.lines.length === 0) {
    return report.isLoaded && report.problem === '' ? <p className="muted">{t.replay.none}</p> : <p className="muted" aria-busy="true">{report.problem === '' ? t.numbers.loading : ''}</p>;
  }
  return (
    <>
      <dl className="facts">
        {facts(report).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {report.isCapped && <p className="muted small">{t.numbers.capped(LINES_MAX)}</p>}
      {!report.isLoaded && <p className="muted small" aria-busy="true">{t.numbers.progress(report.lines.length)}</p>}
      <div className="charts">
        <Chart picture={pictures.lines} />
        <Chart picture={pictures.buyers} />
        {report.verdicts.size > 0 ? (
          <>
            <Chart picture={pictures.sure} />
            <Chart picture={pictures.types} />
          </>
        ) : report.isLoaded && <p className="muted">{t.numbers.noVerdicts}</p>}
      </div>
    </>
  );
}
