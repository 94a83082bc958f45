// Whether the function is there, and whether lines wait for it.
import type { Settings } from '../lib/settings';
import type { ScraperApi } from './scraper';

export type LampState = 'up' | 'connecting' | 'away' | 'refused';

export interface Lamp {
  state: LampState;
  detail: string;
}

const CALM_MS = 5000;
const AWAY_MS = 2000;
const HIDDEN_MS = 15_000;

export class FunctionLamp {
  lamp: Lamp = { state: 'connecting', detail: '' };
  pending = 0; // lines in the scraper's outbox
  alarm = '';
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isStopped = false;

  constructor(private readonly settings: Settings, private readonly api: ScraperApi, private readonly onChange: () => void) {}

  start(): void {
    void this.look();
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private async look(): Promise<void> {
    const [isUp, health] = await Promise.all([this.ask(), this.api.health().catch(() => undefined)]);
    if (this.isStopped) return;
    const before = `${this.lamp.state} ${this.pending} ${this.alarm}`;
    this.lamp = { state: isUp ? 'up' : 'away', detail: '' };
    if (health) {
      // A line that was captured this moment is no news.
      this.pending = health.oldestPendingMs > 3000 ? health.pending : 0;
      this.alarm = health.alarm;
    }
    if (before !== `${this.lamp.state} ${this.pending} ${this.alarm}`) this.onChange();
    this.timer = setTimeout(() => void this.look(), document.hidden ? HIDDEN_MS : isUp ? CALM_MS : AWAY_MS);
  }

  // Behind our own door there is a route that asks the program and its database. Elsewhere an OPTIONS
  // request is what the function answers without writing anything.
  private async ask(): Promise<boolean> {
    const { supabaseUrl, isOwnOrigin } = this.settings;
    try {
      const answer = isOwnOrigin
        ? await fetch(`${supabaseUrl}/readyz`, { cache: 'no-store' })
        : await fetch(`${supabaseUrl}/functions/v1/monitor-realtime-stream`, { method: 'OPTIONS' });
      return answer.ok;
    } catch {
      return false;
    }
  }
}
