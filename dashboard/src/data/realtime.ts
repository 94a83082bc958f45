// Database changes, by supabase-js' channels. A channel that was away asks for what it missed: the
// library sends our own binding object anew at every join, and the gateway reads `x_after` in it
// (docs in realtime/dealflow-realtime.8). Supabase's own service ignores the key, so whoever uses
// this also reads the table again after `onLive`.
import type { RealtimeChannel, SupabaseClient } from '@supabase/supabase-js';
import type { MessageRow, SaleRow, SessionRow } from '../lib/rows';

export interface SessionHandlers {
  onMessage: (row: MessageRow) => void;
  onSale: (row: SaleRow) => void;
  onLive: () => void; // from here on rows come; said again after each interruption
  onLost: () => void; // until the next onLive they may not
}

interface Position {
  event: 'INSERT' | 'UPDATE';
  schema: 'public';
  table: string;
  filter: string;
  x_after?: string | null;
}

// supabase-js' types know the documented keys only, and one overload per event.
type OnChange = (type: 'postgres_changes', position: Position, then: (payload: { new: unknown }) => void) => RealtimeChannel;
type OnSystem = (type: 'system', filter: object, then: (payload: { status?: string; extension?: string }) => void) => RealtimeChannel;

const REBUILD_MS = 1000;

export class Changes {
  private readonly channels = new Map<string, { channel: RealtimeChannel; isLive: boolean }>();
  private readonly builders = new Map<string, () => RealtimeChannel>();
  private isStopped = false;

  constructor(private readonly client: SupabaseClient, private readonly onState: () => void) {}

  // Every channel is joined, so nothing is missed.
  get isLive(): boolean {
    return this.channels.size > 0 && [...this.channels.values()].every((each) => each.isLive);
  }

  watchSessions(user: string, onChange: (row: SessionRow) => void, onLive: () => void): void {
    this.open('sessions', onLive, () => {}, (channel) => {
      for (const event of ['INSERT', 'UPDATE'] as const) {
        (channel.on as unknown as OnChange).call(
          channel, 'postgres_changes', { event, schema: 'public', table: 'stream_sessions', filter: `user_id=eq.${user}` },
          (payload) => onChange(payload.new as SessionRow));
      }
    });
  }

  // startedAt: from where to catch up when no row has come before the first interruption.
  watchSession(id: string, startedAt: string, handlers: SessionHandlers): void {
    // Kept over a rebuilt channel: they say how far this client got.
    const position = (table: string): Position => ({
      event: 'INSERT', schema: 'public', table, filter: `stream_session_id=eq.${id}`, x_after: null,
    });
    const messages = position('chat_messages');
    const sales = position('sales_captured');
    this.open(`session-${id}`, () => {
      messages.x_after ??= startedAt;
      sales.x_after ??= startedAt;
      handlers.onLive();
    }, handlers.onLost, (channel) => {
      const on = channel.on as unknown as OnChange;
      on.call(channel, 'postgres_changes', messages, (payload) => {
        const row = payload.new as MessageRow;
        messages.x_after = row.id;
        handlers.onMessage(row);
      });
      on.call(channel, 'postgres_changes', sales, (payload) => {
        const row = payload.new as SaleRow;
        sales.x_after = row.id;
        handlers.onSale(row);
      });
    });
  }

  isWatched(id: string): boolean {
    return this.channels.has(`session-${id}`);
  }

  unwatchSession(id: string): void {
    const name = `session-${id}`;
    const entry = this.channels.get(name);
    this.builders.delete(name);
    this.channels.delete(name);
    if (entry) void this.client.removeChannel(entry.channel);
    this.onState();
  }

  stop(): void {
    this.isStopped = true;
    this.channels.clear();
    void this.client.removeAllChannels();
    void this.client.realtime.disconnect();
  }

  private open(name: string, onLive: () => void, onLost: () => void, bind: (channel: RealtimeChannel) => void): void {
    const build = () => {
      const channel = this.client.channel(name);
      const entry = { channel, isLive: false };
      const set = (isLive: boolean) => {
        if (entry.isLive === isLive || this.channels.get(name) !== entry) return;
        entry.isLive = isLive;
        this.onState();
        if (isLive) onLive();
        else onLost();
      };
      this.channels.set(name, entry);
      bind(channel);
      // Joined is one thing; rows flow from when the service says so.
      (channel.on as unknown as OnSystem).call(channel, 'system', {}, (payload) => {
        if (payload.extension === undefined || payload.extension === 'postgres_changes') set(payload.status === 'ok');
      });
      channel.subscribe((status) => {
        if (status !== 'SUBSCRIBED') set(false);
        // The library joins again by itself after an error; a closed channel it forgets.
        if (status === 'CLOSED' && this.channels.get(name) === entry && !this.isStopped) {
          setTimeout(() => {
            if (this.channels.get(name) === entry && !this.isStopped) this.builders.get(name)?.();
          }, REBUILD_MS);
        }
      });
      return channel;
    };
    this.builders.set(name, build);
    build();
  }
}
