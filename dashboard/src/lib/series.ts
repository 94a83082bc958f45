// From rows to the columns that charts draw. x is in seconds, as uPlot wants it.

const MINUTE = 60_000;
const SHORT_MS = 10 * MINUTE; // a show this young is looked at more closely
const WIDTHS = [1, 2, 5, 10, 15, 30, 60, 120, 240, 720, 1440]; // minutes

// The narrowest bucket with which the span needs no more than so many.
export function bucketWidth(spanMs: number, atMost = 240): number {
  if (spanMs < SHORT_MS) return MINUTE / 6;
  return (WIDTHS.find((w) => spanMs / (w * MINUTE) <= atMost) ?? 1440) * MINUTE;
}

export interface Buckets {
  x: number[]; // start of each bucket, epoch seconds
  widthMs: number;
  place: (at: number) => number; // index, or -1 outside
}

export function buckets(from: number, to: number): Buckets {
  const widthMs = bucketWidth(Math.max(0, to - from));
  const start = Math.floor(from / widthMs) * widthMs;
  const n = Math.max(1, Math.floor((to - start) / widthMs) + 1);
  return {
    x: Array.from({ length: n }, (_, i) => (start + i * widthMs) / 1000),
    widthMs,
    place: (at) => {
      const i = Math.floor((at - start) / widthMs);
      return i >= 0 && i < n ? i : -1;
    },
  };
}

// Events a minute in each bucket.
export function rate(b: Buckets, times: Iterable<number>): number[] {
  const per = b.widthMs / MINUTE;
  return countIn(b, times).map((n) => Math.round((n / per) * 100) / 100);
}

export function countIn(b: Buckets, times: Iterable<number>): number[] {
  const out = new Array<number>(b.x.length).fill(0);
  for (const at of times) {
    const i = b.place(at);
    if (i >= 0) out[i] = (out[i] ?? 0) + 1;
  }
  return out;
}

// What was offered up to the end of each bucket.
export function runningSum(b: Buckets, events: Iterable<{ at: number; value: number }>): number[] {
  const out = new Array<number>(b.x.length).fill(0);
  for (const { at, value } of events) {
    const i = b.place(at);
    if (i >= 0) out[i] = (out[i] ?? 0) + value;
  }
  for (let i = 1; i < out.length; i++) out[i] = (out[i] ?? 0) + (out[i - 1] ?? 0);
  return out.map((v) => Math.round(v * 100) / 100);
}

// Shares of 0..1 in `bins` equal parts; 1 belongs to the last one.
export function histogram(values: Iterable<number>, bins = 20): number[] {
  const out = new Array<number>(bins).fill(0);
  for (const value of values) {
    if (!(value >= 0 && value <= 1)) continue;
    const i = Math.min(bins - 1, Math.floor(value * bins + 1e-9));
    out[i] = (out[i] ?? 0) + 1;
  }
  return out;
}

// One column per kind, each on top of the ones before it.
export function stacked(columns: number[][]): number[][] {
  const out: number[][] = [];
  for (const column of columns) {
    const below = out[out.length - 1];
    out.push(column.map((v, i) => v + (below?.[i] ?? 0)));
  }
  return out;
}
