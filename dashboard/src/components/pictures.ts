// From a report to what is drawn of it.
import type { Report } from '../data/report';
import { amount, count, moneyShort } from '../lib/format';
import { buckets, countIn, histogram, rate, runningSum, stacked, type Buckets } from '../lib/series';
import { curve } from '../lib/whatif';
import { t } from '../texts';
import type { Picture } from './Chart';

const BINS = 20;
const TYPES = ['direct_purchase', 'pricing_question', 'product_question', 'interest', 'general'];
const COLORS = ['--good', '--blue', '--violet', '--amber', '--gray'];

export function spanOf(report: Report): Buckets {
  const first = report.lines[0]?.at ?? Date.now();
  const last = Math.max(report.lines[report.lines.length - 1]?.at ?? first, ...report.sales.map((each) => each.at));
  return buckets(first, last);
}

export function linesPicture(report: Report, span: Buckets): Picture {
  return {
    title: t.numbers.perMinute, isTime: true, x: span.x, xLabel: t.numbers.time,
    columns: [{ label: t.numbers.perMinuteShort, values: rate(span, report.lines.map((line) => line.at)), color: '--blue', kind: 'area' }],
  };
}

export function buyersPicture(report: Report, span: Buckets): Picture {
  return {
    title: t.numbers.buyersOverTime, isTime: true, x: span.x, xLabel: t.numbers.time,
    columns: [
      { label: t.numbers.buyersInBucket, values: countIn(span, report.sales.map((each) => each.at)), color: '--good', kind: 'bars' },
      {
        label: t.numbers.offersSum, values: runningSum(span, report.sales.map((each) => ({ at: each.at, value: each.offer ?? 0 }))),
        color: '--amber', kind: 'line', axis: 'right', format: moneyShort,
      },
    ],
  };
}

const binLabel = (x: number) => `${Math.round(x)}%`;

export function confidencePicture(report: Report): Picture {
  const sure = [...report.verdicts.values()].filter((row) => row.is_buyer).map((row) => row.confidence);
  return {
    title: t.numbers.confidence, isTime: false, xFormat: binLabel, xLabel: t.buyers.confidence,
    x: Array.from({ length: BINS }, (_, i) => ((i + 0.5) * 100) / BINS),
    columns: [{ label: t.numbers.confidenceY, values: histogram(sure, BINS), color: '--good', kind: 'bars' }],
  };
}

// Each type on top of the one before; the tallest is drawn first, so that the others cover it.
export function typesPicture(report: Report, span: Buckets): Picture {
  const times = new Map(TYPES.map((type) => [type, [] as number[]]));
  for (const line of report.lines) {
    const type = report.verdicts.get(line.id)?.message_type;
    if (type !== undefined) (times.get(type) ?? times.get('general'))?.push(line.at);
  }
  const columns = TYPES.map((type) => rate(span, times.get(type) ?? []));
  const heights = stacked(columns);
  return {
    title: t.numbers.types, isTime: true, x: span.x, xLabel: t.numbers.time,
    columns: TYPES.map((type, i) => ({
      label: t.numbers.type[type] ?? type, values: heights[i] ?? [], told: columns[i], color: COLORS[i] ?? '--gray', kind: 'area' as const, format: count,
    })).reverse(),
  };
}

export function curvePicture(report: Report, threshold: number): Picture {
  return {
    title: t.whatIf.curve, isTime: false, xFormat: binLabel, xLabel: t.whatIf.slider, marker: threshold * 100,
    x: Array.from({ length: 101 }, (_, i) => i),
    columns: [{ label: t.numbers.buyersInBucket, values: curve([...report.verdicts.values()]), color: '--good', kind: 'area' }],
  };
}

export function facts(report: Report): [string, string][] {
  const minutes = new Map<number, number>();
  for (const line of report.lines) minutes.set(Math.floor(line.at / 60_000), (minutes.get(Math.floor(line.at / 60_000)) ?? 0) + 1);
  const offered = report.sales.reduce((sum, each) => sum + (amount(each.offer) ?? 0), 0);
  return [
    [t.numbers.messages, count(report.lines.length)],
    [t.numbers.chatters, count(new Set(report.lines.map((line) => line.user)).size)],
    [t.numbers.buyers, count(report.sales.length)],
    [t.numbers.offered, moneyShort(offered)],
    [t.numbers.peak, count(Math.max(0, ...minutes.values()))],
  ];
}
