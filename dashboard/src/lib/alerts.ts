// Buyers, each once: what the WebSocket says within milliseconds and what the database confirms are
// one alert, because a sale carries the id of the message it was made from.
import { amount, epoch } from './format';
import type { SaleRow, VerdictRow } from './rows';

export interface Alert {
  readonly id: string; // of the message, and of the sale
  readonly sessionId: string;
  readonly at: number;
  readonly user: string;
  readonly text: string;
  readonly item: string | null;
  readonly offer: number | null;
  readonly confidence: number | null;
  readonly type: string | null;
  readonly isConfirmed: boolean; // the sale is in the database
  readonly isDeclined: boolean; // the database has the message and its verdict, and made no sale of it
}

const OVERDUE_MS = 5000; // a sale is in the database long before

export class AlertBook {
  private readonly byId = new Map<string, Alert>();
  private sorted: Alert[] | undefined;
  version = 0;

  constructor(readonly max = 1000) {}

  get(id: string): Alert | undefined {
    return this.byId.get(id);
  }

  // True: nobody told of this one before.
  add(alert: Alert): boolean {
    const known = this.byId.get(alert.id);
    const merged: Alert = known
      ? {
          ...known,
          item: known.item ?? alert.item,
          offer: known.offer ?? alert.offer,
          confidence: known.confidence ?? alert.confidence,
          type: known.type ?? alert.type,
          isConfirmed: known.isConfirmed || alert.isConfirmed,
          isDeclined: (known.isDeclined || alert.isDeclined) && !known.isConfirmed && !alert.isConfirmed,
        }
      : alert;
    if (known && isSame(known, merged)) return false;
    this.byId.set(alert.id, merged);
    this.changed();
    if (this.byId.size > this.max) {
      const oldest = this.list().slice(this.max);
      for (const each of oldest) this.byId.delete(each.id);
      this.changed();
    }
    return known === undefined;
  }

  judge(verdict: VerdictRow): void {
    const known = this.byId.get(verdict.message_id);
    if (!known) return;
    this.add({
      ...known,
      confidence: known.confidence ?? verdict.confidence,
      type: known.type ?? verdict.message_type,
      item: known.item ?? verdict.item_description,
      offer: known.offer ?? amount(verdict.estimated_value),
      isDeclined: !verdict.captured,
    });
  }

  // Newest first.
  list(): Alert[] {
    return (this.sorted ??= [...this.byId.values()].sort((a, b) => b.at - a.at || (a.id < b.id ? 1 : -1)));
  }

  // Those of which the verdict in the database says more: how sure, or why there is no sale.
  unjudged(now: number): string[] {
    return this.list()
      .filter((each) => each.isConfirmed ? each.confidence === null : !each.isDeclined && now - each.at > OVERDUE_MS)
      .map((each) => each.id);
  }

  private changed(): void {
    this.sorted = undefined;
    this.version++;
  }
}

function isSame(a: Alert, b: Alert): boolean {
  return a.item === b.item && a.offer === b.offer && a.confidence === b.confidence && a.type === b.type &&
    a.isConfirmed === b.isConfirmed && a.isDeclined === b.isDeclined;
}

export function alertOfSale(row: SaleRow): Alert {
  return {
    id: row.id,
    sessionId: row.stream_session_id ?? '',
    at: epoch(row.captured_at),
    user: row.buyer_username,
    text: row.message_text,
    item: row.item_description,
    offer: amount(row.estimated_value),
    confidence: null,
    type: null,
    isConfirmed: true,
    isDeclined: false,
  };
}
