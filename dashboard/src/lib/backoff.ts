// How long to wait before the next try: doubled each time, bounded, spread so that many clients of a
// server that comes back do not knock at once.
export function backoff(failures: number, { firstMs = 250, maxMs = 5000, random = Math.random } = {}): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 16));
  return Math.round(full * (0.5 + random() / 2));
}
