// The scraper: its HTTP API and its WebSocket, which comes back by itself.
import { backoff } from '../lib/backoff';
import { readEvent, type ScraperEvent } from '../lib/events';

export type GetToken = () => Promise<string>;

export interface ScraperHealth {
  pending: number; // lines that wait for the function
  oldestPendingMs: number;
  alarm: string;
}

export class ScraperError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export class ScraperApi {
  constructor(private readonly url: string, private readonly token: GetToken) {}

  private async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    let answer: Response;
    try {
      answer = await fetch(this.url + path, {
        method,
        headers: { authorization: `Bearer ${await this.token()}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      throw new ScraperError(0, '');
    }
    const json = (await answer.json().catch(() => ({}))) as Record<string, unknown>;
    if (!answer.ok) throw new ScraperError(answer.status, typeof json.error === 'string' ? json.error : '');
    return json;
  }

  start(what: { sessionId: string; url?: string; autoDiscover?: boolean }) {
    return this.call('POST', '/api/start-monitoring', what);
  }

  stop(sessionId: string) {
    return this.call('POST', '/api/stop-monitoring', { sessionId });
  }

  async health(): Promise<ScraperHealth> {
    const json = await this.call('GET', '/health');
    const outbox = (json.outbox ?? {}) as Record<string, unknown>;
    return {
      pending: Number(outbox.pending) || 0,
      oldestPendingMs: Number(outbox.oldestPendingMs) || 0,
      alarm: typeof outbox.alarm === 'string' ? outbox.alarm : '',
    };
  }
}

export type SocketState = 'connecting' | 'up' | 'away' | 'refused';

const PING_MS = 10_000; // a network that went away without a word is noticed after two of these
const CLOSE_TOKEN = 4401;

export class ScraperSocket {
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pinger: ReturnType<typeof setInterval> | undefined;
  private failures = 0;
  private heardAt = 0;
  private refusedToken = '';
  private isStopped = false;

  constructor(
    private readonly url: string,
    private readonly token: GetToken,
    private readonly onEvent: (event: ScraperEvent) => void,
    private readonly onState: (state: SocketState, reason: string) => void,
  ) {}

  start(): void {
    window.addEventListener('online', this.hurry);
    void this.connect();
  }

  stop(): void {
    this.isStopped = true;
    window.removeEventListener('online', this.hurry);
    clearTimeout(this.timer);
    clearInterval(this.pinger);
    this.socket?.close(1000);
  }

  private readonly hurry = () => {
    if (this.socket || this.isStopped) return;
    clearTimeout(this.timer);
    void this.connect();
  };

  private async connect(): Promise<void> {
    const token = await this.token().catch(() => '');
    if (this.isStopped) return;
    // The same token would be refused again: wait until there is another one.
    if (token === '' || token === this.refusedToken) return this.later();
    this.onState('connecting', '');
    const socket = new WebSocket(this.url, ['dealflow', `bearer.${token}`]);
    this.socket = socket;
    socket.onmessage = (message) => {
      const now = Date.now();
      this.heardAt = now;
      if (typeof message.data !== 'string') return;
      const event = readEvent(message.data, now);
      if (!event) return;
      if (event.type === 'hello') {
        this.failures = 0;
        this.onState('up', '');
      }
      this.onEvent(event);
    };
    socket.onopen = () => {
      this.heardAt = Date.now();
      this.pinger = setInterval(() => {
        if (Date.now() - this.heardAt > 2 * PING_MS) this.lost(socket, 0, '');
        else if (socket.readyState === WebSocket.OPEN) socket.send('{"action":"ping"}');
      }, PING_MS);
    };
    socket.onclose = (event) => {
      if (event.code === CLOSE_TOKEN) this.refusedToken = token;
      this.lost(socket, event.code, event.reason);
    };
  }

  private lost(socket: WebSocket, code: number, reason: string): void {
    if (this.socket !== socket) return;
    clearInterval(this.pinger);
    socket.onclose = socket.onmessage = socket.onopen = null;
    socket.close();
    this.socket = undefined;
    if (this.isStopped) return;
    this.onState(code === CLOSE_TOKEN ? 'refused' : 'away', reason);
    this.later();
  }

  private later(): void {
    this.timer = setTimeout(() => void this.connect(), backoff(this.failures++));
  }
}
