// The clock of a replay: where it stands, from a start, a speed and pauses. Silences are cut short, or
// a quiet hour would be an hour of nothing.

export interface Timed {
  at: number;
}

// Moments of the lines on the replay's own clock: gaps are at most maxGapMs.
export function timeline(lines: readonly Timed[], maxGapMs = 5000): number[] {
  const out: number[] = [];
  let at = 0;
  lines.forEach((line, i) => {
    if (i > 0) at += Math.min(maxGapMs, Math.max(0, line.at - (lines[i - 1] as Timed).at));
    out.push(at);
  });
  return out;
}

// How many of the moments are over at `now`.
export function shownAt(moments: readonly number[], now: number): number {
  let low = 0;
  let high = moments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((moments[middle] as number) <= now) low = middle + 1;
    else high = middle;
  }
  return low;
}
