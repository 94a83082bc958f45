import { useMemo, useState } from 'react';
import type { Report } from '../data/report';
import { amount, count, money, percent } from '../lib/format';
import { whatIf } from '../lib/whatif';
import { t } from '../texts';
import { Confidence } from './AlertList';
import { Chart } from './Chart';
import { curvePicture } from './pictures';

const LISTED = 200;

export function WhatIfPanel({ report }: { report: Report }) {
  const [threshold, setThreshold] = useState(0.7);
  const { version } = report.changed;
  const lines = useMemo(() => new Map(report.lines.map((line) => [line.id, line])), [report.lines]);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const result = useMemo(() => whatIf(report.verdicts.values(), threshold), [report, version, threshold]);
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const picture = useMemo(() => curvePicture(report, threshold), [report, version, threshold]);

  const hasBuyers = [...report.verdicts.values()].some((row) => row.is_buyer);
  if (!hasBuyers) return <p className="muted">{report.isLoaded ? t.whatIf.none : t.numbers.loading}</p>;
  const gained = new Set(result.gained.map((row) => row.message_id));
  const listed = [...result.caught, ...result.lost];
  return (
    <section className="what-if">
      <h2>{t.whatIf.title}</h2>
      <p className="muted">{t.whatIf.lead}</p>
      <div className="slider">
        <input
          type="range" min={0} max={100} value={Math.round(threshold * 100)} aria-label={t.whatIf.slider} aria-valuetext={percent(threshold)}
          onChange={(event) => setThreshold(Number(event.target.value) / 100)}
        />
        <output>{percent(threshold)}</output>
      </div>
      <dl className="facts" data-what-if={result.caught.length}>
        <div><dt>{t.whatIf.caught}</dt><dd>{count(result.caught.length)}</dd></div>
        <div><dt>{t.whatIf.offered}</dt><dd>{money(Math.round(result.offered * 100) / 100)}</dd></div>
        <div><dt>{t.whatIf.gained}</dt><dd>{result.gained.length > 0 ? '+' : ''}{count(result.gained.length)}</dd></div>
        <div><dt>{t.whatIf.lost}</dt><dd>{result.lost.length > 0 ? '−' : ''}{count(result.lost.length)}</dd></div>
      </dl>
      <div className="charts one"><Chart picture={picture} /></div>
      <h3>{t.whatIf.list(result.caught.length, percent(threshold))}</h3>
      <ul className="verdicts">
        {listed.slice(0, LISTED).map((row) => {
          const line = lines.get(row.message_id);
          const isLost = row.confidence < threshold;
          return (
            <li key={row.message_id} className={isLost ? 'lost' : ''}>
              <strong className="ellipsis">{line?.user ?? ''}</strong>
              <span className="verdict-text">{line?.text ?? ''}</span>
              {row.estimated_value !== null && <span className="offer">{money(amount(row.estimated_value))}</span>}
              {isLost ? <span className="tag bad">{t.whatIf.isLost}</span> : gained.has(row.message_id) && <span className="tag buyer">{t.whatIf.isGained}</span>}
              <Confidence value={row.confidence} />
            </li>
          );
        })}
      </ul>
      <p className="muted small">{t.whatIf.setting}</p>
    </section>
  );
}
