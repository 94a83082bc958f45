// What the scraper says on its WebSocket (scraper/events.c), read with care: a newer or an older
// scraper may say more or less.
import type { Alert } from './alerts';
import type { Line } from './feed';
import { epoch } from './format';

export interface StreamInfo {
  url: string;
  title: string | null;
  host: string | null;
  viewers: number | null;
}

export interface SessionInfo {
  sessionId: string;
  state: string;
  reason: string;
  stream: StreamInfo;
  messages: number;
  buyers: number;
  perMinute: number;
  ageMs: number;
}

export type ScraperEvent =
  | { type: 'hello'; sessions: SessionInfo[]; alarm: string }
  | { type: 'stream'; sessionId: string; stream: StreamInfo }
  | { type: 'state'; sessionId: string; state: string; reason: string }
  | { type: 'line'; sessionId: string; line: Line; isBacklog: boolean }
  | { type: 'buyer'; alert: Alert; buyers: number; messages: number }
  | { type: 'stats'; sessionId: string; messages: number; buyers: number; perMinute: number }
  | { type: 'error'; sessionId: string; text: string; code: string }
  | { type: 'pong' };

type Bag = Record<string, unknown>;
const bag = (value: unknown): Bag => (typeof value === 'object' && value !== null ? (value as Bag) : {});
const text = (value: unknown) => (typeof value === 'string' ? value : '');
const textOrNull = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null);
const number = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : 0);
const numberOrNull = (value: unknown) => (typeof value === 'number' && Number.isFinite(value) ? value : null);

function streamInfo(value: unknown): StreamInfo {
  const b = bag(value);
  return { url: text(b.url), title: textOrNull(b.title), host: textOrNull(b.host), viewers: numberOrNull(b.viewers) };
}

function sessionInfo(value: unknown): SessionInfo {
  const b = bag(value);
  return {
    sessionId: text(b.sessionId), state: text(b.state), reason: text(b.reason), stream: streamInfo(b.stream),
    messages: number(b.totalMessages), buyers: number(b.totalBuyers), perMinute: number(b.messagesPerMinute), ageMs: number(b.ageMs),
  };
}

function time(value: unknown, now: number): number {
  const at = epoch(text(value));
  return Number.isFinite(at) ? at : now;
}

// One frame. undefined: nothing that is shown.
export function readEvent(frame: string, now: number): ScraperEvent | undefined {
  let b: Bag;
  try {
    b = bag(JSON.parse(frame));
  } catch {
    return undefined;
  }
  const sessionId = text(b.sessionId);
  const id = text(b.messageId);
  switch (b.type) {
    case 'hello':
      return {
        type: 'hello', alarm: text(b.alarm),
        sessions: Array.isArray(b.sessions) ? b.sessions.map(sessionInfo).filter((each) => each.sessionId !== '') : [],
      };
    case 'monitoring_started':
    case 'stream_selected':
    case 'stream_update':
      return sessionId === '' ? undefined : { type: 'stream', sessionId, stream: streamInfo(b.stream) };
    case 'stream_state':
      return sessionId === '' ? undefined : { type: 'state', sessionId, state: text(b.state), reason: text(b.reason) };
    case 'new_message': {
      const m = bag(b.message);
      if (sessionId === '' || id === '') return undefined;
      return {
        type: 'line', sessionId, isBacklog: m.backlog === true,
        line: {
          id, at: time(m.timestamp, now), user: text(m.username), text: text(m.message), role: text(m.role) || 'viewer',
          isBuyer: m.isBuyer === true, isQuestion: m.isQuestion === true, confidence: numberOrNull(m.confidence), isStored: false,
        },
      };
    }
    case 'buyer_detected': {
      const buyer = bag(b.buyer);
      const stats = bag(b.stats);
      if (sessionId === '' || id === '') return undefined;
      return {
        type: 'buyer', buyers: number(stats.totalBuyers), messages: number(stats.totalMessages),
        alert: {
          id, sessionId, at: time(buyer.timestamp, now), user: text(buyer.username), text: text(buyer.message),
          item: textOrNull(buyer.item), offer: numberOrNull(buyer.offer), confidence: numberOrNull(buyer.confidence),
          type: textOrNull(buyer.messageType), isConfirmed: false, isDeclined: false,
        },
      };
    }
    case 'debug_stats': {
      const s = bag(b.stats);
      return { type: 'stats', sessionId, messages: number(s.totalMessages), buyers: number(s.buyerCount), perMinute: number(s.messagesPerMinute) };
    }
    case 'error':
      return { type: 'error', sessionId, text: text(b.error), code: text(b.code) };
    case 'pong':
      return { type: 'pong' };
    default:
      return undefined;
  }
}
