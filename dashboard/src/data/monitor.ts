// What the pages show: streams with their chat, buyers, connections. It listens to the scraper's
// WebSocket and to the database, and puts both together by the id of the message.
import { AlertBook, alertOfSale, type Alert } from '../lib/alerts';
import { platformOf, showName } from '../lib/address';
import type { ScraperEvent, SessionInfo, StreamInfo } from '../lib/events';
import { Feed } from '../lib/feed';
import { epoch } from '../lib/format';
import { recallJson, remember } from '../lib/local';
import { isQuestion, lineOf, type MessageRow, type SaleRow, type SessionRow, type VerdictRow } from '../lib/rows';
import type { Settings } from '../lib/settings';
import { Topic } from '../lib/topic';
import { t } from '../texts';
import { Database } from './database';
import { FunctionLamp, type Lamp } from './lamps';
import { Changes } from './realtime';
import { ScraperApi, ScraperError, ScraperSocket } from './scraper';
import type { SignedIn } from './session';
import { VerdictAsker } from './verdicts';

const BACKFILL_LINES = 300; // of a stream that was running before this page was opened
const CATCH_UP_LINES = 5000;
const OVERLAP_MS = 3000; // rows become visible in the order of their commits, not of their times
const FRESH_MS = 60_000; // a buyer from longer ago is listed, not announced
const SHOWS_KEPT = 200;

export interface Stream {
  readonly id: string;
  readonly feed: Feed;
  readonly chat: Topic; // lines came
  startedAt: number;
  info: StreamInfo;
  state: string;
  reason: string;
  messages: number;
  buyers: number;
  perMinute: number;
  isActive: boolean; // the scraper watches it, as far as we know
  isStarting: boolean;
  isStopping: boolean;
  problem: string; // of the last command
  gapFrom: string | undefined; // the last row of the database before it was away
  lastRow: string | undefined; // created_at of the newest row
}

export interface Show {
  url: string;
  title: string | null;
  host: string | null;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export class Monitor {
  readonly streams = new Map<string, Stream>();
  readonly alerts = new AlertBook();
  readonly changed = new Topic(200); // heads of streams
  readonly alertsChanged = new Topic();
  readonly lampsChanged = new Topic();
  readonly contactedChanged = new Topic();
  readonly database: Database;
  onNewBuyer: (alert: Alert) => void = () => {};

  scraperLamp: Lamp = { state: 'connecting', detail: '' };
  realtimeLamp: Lamp = { state: 'connecting', detail: '' };
  readonly functionLamp: FunctionLamp;

  private readonly api: ScraperApi;
  private readonly socket: ScraperSocket;
  private readonly changes: Changes;
  private readonly verdicts: VerdictAsker;
  private contacted: Set<string>;
  private shows: Record<string, Show>;
  private isStopped = false;

  constructor(settings: Settings, readonly signedIn: SignedIn) {
    const { client, user, token } = signedIn;
    this.database = new Database(client, user);
    this.api = new ScraperApi(settings.scraperUrl, token);
    this.socket = new ScraperSocket(settings.scraperWs, token, (event) => this.onEvent(event), (state, reason) => {
      this.scraperLamp = { state, detail: reason };
      this.lampsChanged.touch();
    });
    this.changes = new Changes(client, () => this.onChangesState());
    this.functionLamp = new FunctionLamp(settings, this.api, () => this.lampsChanged.touch());
    this.verdicts = new VerdictAsker(this.database, () => this.unjudged(), (rows) => this.judge(rows));
    this.contacted = new Set(recallJson<string[]>(`contacted.${user}`, []));
    this.shows = recallJson<Record<string, Show>>(`shows.${user}`, {});
  }

  async start(): Promise<void> {
    this.socket.start();
    this.functionLamp.start();
    this.verdicts.start();
    // The first join has to carry the user's token, not the public key.
    await this.signedIn.client.realtime.setAuth().catch(() => {});
    if (this.isStopped) return;
    this.changes.watchSessions(this.signedIn.user, (row) => this.onSession(row), () => void this.reload());
  }

  stop(): void {
    this.isStopped = true;
    this.socket.stop();
    this.changes.stop();
    this.functionLamp.stop();
    this.verdicts.stop();
  }

  // --- commands

  // Watches an address, or (url undefined) a show that the scraper finds. Rejects with a text for people.
  async watch(url: string | undefined): Promise<void> {
    let row: SessionRow;
    try {
      row = await this.database.createSession(platformOf(url ?? ''));
    } catch (error) {
      throw new Error(t.start.noSession((error as Error).message));
    }
    const stream = this.ensure(row.id, epoch(row.started_at));
    if (url !== undefined) this.learn(stream, { url, title: null, host: null, viewers: null });
    await this.command(stream, async () => {
      stream.isStarting = true;
      stream.state = 'opening';
      await this.api.start({ sessionId: row.id, ...(url === undefined ? { autoDiscover: true } : { url }) });
      stream.isActive = true;
    });
    if (stream.problem === '') return;
    // It never ran, so there is nothing to keep.
    const { problem } = stream;
    if (!stream.isActive && stream.feed.size === 0) {
      this.forget(row.id);
      await this.database.deleteSession(row.id).catch(() => {});
      throw new Error(problem);
    }
  }

  async watchAgain(id: string): Promise<void> {
    const stream = this.streams.get(id);
    if (!stream) return;
    await this.command(stream, async () => {
      stream.isStarting = true;
      await this.database.reopenSession(id).catch(() => {});
      const { url } = stream.info;
      await this.api.start({ sessionId: id, ...(url === '' ? { autoDiscover: true } : { url }) });
      stream.isActive = true;
      this.listen(stream);
    });
  }

  async unwatch(id: string): Promise<void> {
    const stream = this.streams.get(id);
    if (!stream) return;
    await this.command(stream, async () => {
      stream.isStopping = true;
      try {
        await this.api.stop(id);
      } catch (error) {
        // Not running is what was wanted.
        if (!(error instanceof ScraperError) || error.status !== 404) throw error;
      }
      stream.isActive = false;
      stream.state = 'closed';
      stream.reason = t.state.stoppedByYou;
      await this.database.endSession(id);
    });
  }

  private async command(stream: Stream, act: () => Promise<void>): Promise<void> {
    stream.problem = '';
    this.changed.touch();
    try {
      await act();
    } catch (error) {
      stream.problem = error instanceof ScraperError ? t.start.scraperSays(error.status, error.message) : (error as Error).message;
    } finally {
      stream.isStarting = stream.isStopping = false;
      this.changed.touch();
    }
  }

  // Takes a stream that is over off the page.
  forget(id: string): void {
    this.changes.unwatchSession(id);
    this.streams.delete(id);
    this.changed.touch();
  }

  // --- marks of this browser

  isContacted(id: string): boolean {
    return this.contacted.has(id);
  }

  setContacted(id: string, isContacted: boolean): void {
    if (isContacted) this.contacted.add(id);
    else this.contacted.delete(id);
    this.contacted = new Set([...this.contacted].slice(-5000));
    remember(`contacted.${this.signedIn.user}`, JSON.stringify([...this.contacted]));
    this.contactedChanged.touch();
  }

  // Address and title are no columns; who started a show here knows them.
  show(id: string): Show | undefined {
    return this.shows[id];
  }

  nameOf(id: string): string {
    const show = this.shows[id];
    return show ? show.title ?? showName(show.url) : t.stream.unnamed;
  }

  private learn(stream: Stream, info: StreamInfo): void {
    stream.info = {
      url: info.url || stream.info.url, title: info.title ?? stream.info.title,
      host: info.host ?? stream.info.host, viewers: info.viewers ?? stream.info.viewers,
    };
    const { url, title, host } = stream.info;
    const known = this.shows[stream.id];
    if (url === '' || (known && known.url === url && known.title === title && known.host === host)) return;
    delete this.shows[stream.id]; // the newest at the end
    this.shows = Object.fromEntries([...Object.entries(this.shows), [stream.id, { url, title, host }] as const].slice(-SHOWS_KEPT));
    remember(`shows.${this.signedIn.user}`, JSON.stringify(this.shows));
  }

  // --- streams

  private ensure(id: string, startedAt = Date.now()): Stream {
    let stream = this.streams.get(id);
    if (!stream) {
      stream = {
        id, feed: new Feed(), chat: new Topic(), startedAt,
        info: { viewers: null, ...(this.shows[id] ?? { url: '', title: null, host: null }) },
        state: 'opening', reason: '', messages: 0, buyers: 0, perMinute: 0,
        isActive: false, isStarting: false, isStopping: false, problem: '', gapFrom: undefined, lastRow: undefined,
      };
      this.streams.set(id, stream);
      this.listen(stream);
    }
    return stream;
  }

  private listen(stream: Stream): void {
    // A session that is no UUID is shown by the scraper and stored nowhere.
    if (!UUID.test(stream.id) || this.changes.isWatched(stream.id)) return;
    this.changes.watchSession(stream.id, new Date(stream.startedAt).toISOString(), {
      onMessage: (row) => this.onMessage(stream, row),
      onSale: (row) => this.onSale(row),
      onLost: () => {
        stream.gapFrom ??= stream.lastRow;
      },
      onLive: () => void this.fill(stream),
    });
  }

  // What lies in the database: the newest lines at first, the missed ones after an interruption.
  private async fill(stream: Stream): Promise<void> {
    const since = stream.gapFrom && new Date(epoch(stream.gapFrom) - OVERLAP_MS).toISOString();
    try {
      const lines = since
        ? await this.database.messagesSince(stream.id, since, CATCH_UP_LINES)
        : await this.database.newestMessages(stream.id, BACKFILL_LINES);
      for (const row of lines) this.onMessage(stream, row);
      for (const row of await this.database.salesSince(stream.id, since, CATCH_UP_LINES)) this.onSale(row);
      stream.gapFrom = undefined;
      const total = await this.database.countMessages(stream.id);
      stream.messages = Math.max(stream.messages, total);
      this.changed.touch();
    } catch {
      // The database is away: the lamp says so, and the next onLive asks again.
      setTimeout(() => {
        if (!this.isStopped && this.streams.get(stream.id) === stream) void this.fill(stream);
      }, 3000);
    }
  }

  // --- what the scraper says

  private onEvent(event: ScraperEvent): void {
    switch (event.type) {
      case 'hello':
        return this.onHello(event.sessions);
      case 'stream': {
        const stream = this.ensure(event.sessionId);
        stream.isActive = true;
        this.learn(stream, event.stream);
        return this.changed.touch();
      }
      case 'state': {
        const stream = this.ensure(event.sessionId);
        stream.state = event.state;
        stream.reason = event.reason;
        stream.isActive = event.state !== 'closed';
        if (event.state === 'closed' && !stream.isStopping) void this.database.endSession(event.sessionId).catch(() => {});
        return this.changed.touch();
      }
      case 'line': {
        const stream = this.ensure(event.sessionId);
        if (stream.feed.add(event.line)) stream.messages++;
        stream.chat.touch();
        return this.changed.touch();
      }
      case 'buyer': {
        const stream = this.ensure(event.alert.sessionId);
        stream.buyers = Math.max(stream.buyers, event.buyers);
        stream.messages = Math.max(stream.messages, event.messages);
        this.onAlert(event.alert);
        return this.changed.touch();
      }
      case 'stats': {
        const stream = this.streams.get(event.sessionId);
        if (!stream) return;
        stream.messages = Math.max(stream.messages, event.messages);
        stream.buyers = Math.max(stream.buyers, event.buyers);
        stream.perMinute = event.perMinute;
        return this.changed.touch();
      }
      case 'error': {
        const stream = this.streams.get(event.sessionId);
        if (stream) stream.problem = event.text;
        return this.changed.touch();
      }
      case 'pong':
    }
  }

  private onHello(sessions: SessionInfo[]): void {
    const running = new Set(sessions.map((each) => each.sessionId));
    for (const stream of this.streams.values()) {
      if (!stream.isActive || running.has(stream.id)) continue;
      stream.isActive = false;
      stream.state = 'closed';
      stream.reason = t.state.forgotten;
    }
    for (const each of sessions) {
      const stream = this.ensure(each.sessionId, Date.now() - each.ageMs);
      this.learn(stream, each.stream);
      stream.isActive = true;
      stream.state = each.state;
      stream.reason = each.reason;
      stream.messages = Math.max(stream.messages, each.messages);
      stream.buyers = Math.max(stream.buyers, each.buyers);
      stream.perMinute = each.perMinute;
    }
    this.changed.touch();
  }

  private onAlert(alert: Alert): void {
    const isNew = this.alerts.add(alert);
    if (isNew && Date.now() - alert.at < FRESH_MS) this.onNewBuyer(alert);
    this.alertsChanged.touch();
  }

  // --- what the database says

  private onMessage(stream: Stream, row: MessageRow): void {
    if (stream.lastRow === undefined || row.created_at > stream.lastRow) stream.lastRow = row.created_at;
    if (stream.feed.add(lineOf(row))) stream.messages = Math.max(stream.messages, stream.feed.size);
    stream.chat.touch();
  }

  private onSale(row: SaleRow): void {
    this.onAlert(alertOfSale(row));
    const stream = this.streams.get(row.stream_session_id ?? '');
    if (!stream) return;
    stream.feed.update(row.id, { isBuyer: true });
    stream.chat.touch();
    this.changed.touch();
  }

  private onSession(row: SessionRow): void {
    const stream = this.streams.get(row.id);
    if (!stream) return;
    stream.buyers = Math.max(stream.buyers, row.total_sales_caught);
    this.changed.touch();
  }

  private async reload(): Promise<void> {
    try {
      for (const row of await this.database.newestSales(500)) this.alerts.add(alertOfSale(row));
      this.alertsChanged.touch();
    } catch {
      // asked again when the channel comes back
    }
  }

  private onChangesState(): void {
    const { isLive } = this.changes;
    if (isLive === (this.realtimeLamp.state === 'up')) return;
    this.realtimeLamp = { state: isLive ? 'up' : 'away', detail: '' };
    this.lampsChanged.touch();
  }

  private judge(rows: VerdictRow[]): void {
    for (const row of rows) {
      this.alerts.judge(row);
      for (const stream of this.streams.values()) {
        if (!stream.feed.get(row.message_id)) continue;
        stream.feed.update(row.message_id, { confidence: row.confidence, isBuyer: row.captured, isQuestion: isQuestion(row.message_type) });
        stream.chat.touch();
      }
    }
    this.alertsChanged.touch();
  }

  // Before a file is made of them: how sure each one is, even of those nobody has looked at.
  async complete(alerts: readonly Alert[]): Promise<Alert[]> {
    const missing = alerts.filter((each) => each.confidence === null).map((each) => each.id);
    const verdicts = new Map((await this.database.verdicts(missing)).map((row) => [row.message_id, row]));
    this.judge([...verdicts.values()]);
    return alerts.map((each) => {
      const verdict = verdicts.get(each.id);
      return verdict ? { ...each, confidence: verdict.confidence, type: each.type ?? verdict.message_type } : each;
    });
  }

  private unjudged(): string[] {
    const ids = this.alerts.unjudged(Date.now());
    for (const stream of this.streams.values()) ids.push(...stream.feed.unjudged(300));
    return ids;
  }
}
