// Everything of one show for charts, replay and "what if": lines, verdicts, sales. Loaded page by page;
// loaded again it asks for what is new only.
import { alertOfSale, type Alert } from '../lib/alerts';
import { epoch } from '../lib/format';
import type { MessageRow, SessionRow, VerdictRow } from '../lib/rows';
import { Topic } from '../lib/topic';
import type { Database } from './database';

export const LINES_MAX = 20_000;
const OVERLAP_MS = 3000;
const TRIES = 5;

export interface ReportLine {
  id: string;
  at: number;
  user: string;
  text: string;
}

export class Report {
  readonly changed = new Topic(100);
  session: SessionRow | null | undefined; // null: there is none
  lines: ReportLine[] = [];
  readonly verdicts = new Map<string, VerdictRow>();
  sales: Alert[] = [];
  isLoaded = false;
  isCapped = false;
  problem = '';
  private readonly known = new Set<string>();
  private readonly unjudged = new Map<string, number>(); // tries
  private last: string | undefined;
  private isLoading = false;

  constructor(private readonly database: Database, readonly sessionId: string) {}

  async load(): Promise<void> {
    if (this.isLoading) return;
    this.isLoading = true;
    this.problem = '';
    try {
      this.session = (await this.database.sessionsById([this.sessionId]))[0] ?? null;
      if (this.session === null) return;
      const since = this.last && new Date(epoch(this.last) - OVERLAP_MS).toISOString();
      if (!this.isCapped) this.take(await this.database.messagesSince(this.sessionId, since, LINES_MAX + 1 - (since ? 0 : this.known.size)));
      this.changed.touch();
      await this.judge();
      const sales = (await this.database.salesSince(this.sessionId, undefined, 5000)).map(alertOfSale);
      this.sales = sales.map((sale) => {
        const verdict = this.verdicts.get(sale.id);
        return verdict ? { ...sale, confidence: verdict.confidence, type: verdict.message_type } : sale;
      });
    } catch (error) {
      this.problem = (error as Error).message;
    } finally {
      this.isLoaded = true;
      this.isLoading = false;
      this.changed.touch();
    }
  }

  private take(rows: MessageRow[]): void {
    const fresh: ReportLine[] = [];
    for (const row of rows) {
      if (this.known.has(row.id)) continue;
      if (this.known.size >= LINES_MAX) {
        this.isCapped = true;
        break;
      }
      this.known.add(row.id);
      this.unjudged.set(row.id, 0);
      fresh.push({ id: row.id, at: epoch(row.created_at), user: row.username, text: row.message });
      if (this.last === undefined || row.created_at > this.last) this.last = row.created_at;
    }
    if (fresh.length > 0) this.lines = [...this.lines, ...fresh].sort((a, b) => a.at - b.at);
  }

  private async judge(): Promise<void> {
    const ids = [...this.unjudged.keys()];
    for (let i = 0; i < ids.length; i += 3000) {
      const piece = ids.slice(i, i + 3000);
      for (const row of await this.database.verdicts(piece)) {
        this.verdicts.set(row.message_id, row);
        this.unjudged.delete(row.message_id);
      }
      this.changed.touch();
    }
    for (const [id, tries] of this.unjudged) {
      if (tries + 1 >= TRIES) this.unjudged.delete(id);
      else this.unjudged.set(id, tries + 1);
    }
  }
}
