// "What if the threshold were ...": who would have been caught, from the verdicts that were kept.
import { amount } from './format';
import type { VerdictRow } from './rows';

export interface WhatIf {
  caught: VerdictRow[]; // most confident first
  gained: VerdictRow[]; // caught then, not caught in fact
  lost: VerdictRow[]; // caught in fact, not then
  offered: number;
}

// The capture rule of the function: a buyer, at least so sure.
export const isCaught = (row: VerdictRow, threshold: number) => row.is_buyer && row.confidence >= threshold - 1e-9;

export function whatIf(rows: Iterable<VerdictRow>, threshold: number): WhatIf {
  const out: WhatIf = { caught: [], gained: [], lost: [], offered: 0 };
  for (const row of rows) {
    if (isCaught(row, threshold)) {
      out.caught.push(row);
      out.offered += amount(row.estimated_value) ?? 0;
      if (!row.captured) out.gained.push(row);
    } else if (row.captured) {
      out.lost.push(row);
    }
  }
  for (const list of [out.caught, out.gained, out.lost]) list.sort((a, b) => b.confidence - a.confidence);
  return out;
}

// How many are caught at each threshold, for the curve: thresholds 0, 1/steps ... 1.
export function curve(rows: readonly VerdictRow[], steps = 100): number[] {
  const sure = rows.filter((row) => row.is_buyer).map((row) => row.confidence).sort((a, b) => a - b);
  const out: number[] = [];
  let below = 0;
  for (let i = 0; i <= steps; i++) {
    while (below < sure.length && (sure[below] as number) < i / steps - 1e-9) below++;
    out.push(sure.length - below);
  }
  return out;
}
