// Asks the database for verdicts that came with no message: of lines and buyers known from it alone.
import type { VerdictRow } from '../lib/rows';
import type { Database } from './database';

const EVERY_MS = 1000;
const AT_ONCE = 150;
const TRIES = 4; // a message that nobody judged (ANALYZER=off) is not asked for ever
const REMEMBERED = 20_000;

export class VerdictAsker {
  private readonly asked = new Map<string, { tries: number; nextAt: number }>();
  private timer: ReturnType<typeof setInterval> | undefined;
  private isAsking = false;

  constructor(
    private readonly database: Database,
    private readonly wanted: () => string[],
    private readonly onRows: (rows: VerdictRow[]) => void,
  ) {}

  start(): void {
    this.timer = setInterval(() => void this.ask(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async ask(): Promise<void> {
    if (this.isAsking) return;
    const now = Date.now();
    const ids: string[] = [];
    for (const id of new Set(this.wanted())) {
      const before = this.asked.get(id);
      if (before && (before.tries >= TRIES || before.nextAt > now)) continue;
      ids.push(id);
      if (ids.length >= AT_ONCE) break;
    }
    if (ids.length === 0) return;
    this.isAsking = true;
    try {
      const rows = await this.database.verdicts(ids);
      if (this.asked.size > REMEMBERED) this.asked.clear();
      for (const id of ids) {
        const tries = (this.asked.get(id)?.tries ?? 0) + 1;
        this.asked.set(id, { tries, nextAt: now + EVERY_MS * 2 ** tries });
      }
      for (const row of rows) this.asked.delete(row.message_id);
      if (rows.length > 0) this.onRows(rows);
    } catch {
      // the database is away: the lamps say so, and it is asked again in a second
    } finally {
      this.isAsking = false;
    }
  }
}
