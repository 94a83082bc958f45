// What is asked of the database, through supabase-js and under the user's own rights.
import type { SupabaseClient } from '@supabase/supabase-js';
import {
  MESSAGE_COLUMNS, SALE_COLUMNS, VERDICT_COLUMNS,
  type MessageRow, type SaleRow, type SessionRow, type VerdictRow,
} from '../lib/rows';

const PAGE = 1000; // what a hosted PostgREST gives at most
const IDS_PER_QUERY = 150; // 39 bytes each: the request line stays below nginx's 8 KiB
const QUERIES_AT_ONCE = 4;

export class DatabaseError extends Error {
  constructor(message: string, readonly code: string) {
    super(message);
  }
}

interface Answer<T> {
  data: T | null;
  error: { message: string; code?: string } | null;
}

async function rows<T>(query: PromiseLike<Answer<T[]>>): Promise<T[]> {
  const { data, error } = await query;
  if (error) throw new DatabaseError(error.message, error.code ?? '');
  return data ?? [];
}

export class Database {
  constructor(private readonly client: SupabaseClient, private readonly user: string) {}

  // --- sessions

  async createSession(platform: string): Promise<SessionRow> {
    const { data, error } = await this.client
      .from('stream_sessions')
      .insert({ user_id: this.user, platform })
      .select()
      .single();
    if (error) throw new DatabaseError(error.message, error.code ?? '');
    return data as SessionRow;
  }

  sessions(limit: number, offset = 0): Promise<SessionRow[]> {
    return rows<SessionRow>(
      this.client.from('stream_sessions').select('*').eq('user_id', this.user)
        .order('started_at', { ascending: false }).range(offset, offset + limit - 1));
  }

  sessionsById(ids: string[]): Promise<SessionRow[]> {
    if (ids.length === 0) return Promise.resolve([]);
    return rows<SessionRow>(this.client.from('stream_sessions').select('*').in('id', ids.slice(0, IDS_PER_QUERY)));
  }

  async endSession(id: string): Promise<void> {
    const { error } = await this.client
      .from('stream_sessions').update({ ended_at: new Date().toISOString() }).eq('id', id).is('ended_at', null);
    if (error) throw new DatabaseError(error.message, error.code ?? '');
  }

  async reopenSession(id: string): Promise<void> {
    const { error } = await this.client.from('stream_sessions').update({ ended_at: null }).eq('id', id);
    if (error) throw new DatabaseError(error.message, error.code ?? '');
  }

  async deleteSession(id: string): Promise<void> {
    const { error } = await this.client.from('stream_sessions').delete().eq('id', id);
    if (error) throw new DatabaseError(error.message, error.code ?? '');
  }

  async countMessages(sessionId: string): Promise<number> {
    const { count, error } = await this.client
      .from('chat_messages').select('id', { count: 'exact', head: true }).eq('stream_session_id', sessionId);
    if (error) throw new DatabaseError(error.message, error.code ?? '');
    return count ?? 0;
  }

  // --- messages

  // The newest lines of a session, oldest first; before: only older ones. search: in name or text.
  async newestMessages(sessionId: string, limit: number, before?: number, search = ''): Promise<MessageRow[]> {
    let query = this.client.from('chat_messages').select(MESSAGE_COLUMNS).eq('stream_session_id', sessionId);
    if (before !== undefined) query = query.lt('created_at', new Date(before).toISOString());
    if (search !== '') query = query.ilike('message', `%${search.replace(/[\\%_]/g, '\\$&')}%`);
    const found = await rows<MessageRow>(query.order('created_at', { ascending: false }).limit(limit));
    return found.reverse();
  }

  // Lines from a moment on, oldest first, page by page; as many as `atMost`.
  async messagesSince(sessionId: string, since: string | undefined, atMost: number): Promise<MessageRow[]> {
    return this.walk<MessageRow>('chat_messages', MESSAGE_COLUMNS, 'created_at', sessionId, since, atMost);
  }

  async salesSince(sessionId: string, since: string | undefined, atMost: number): Promise<SaleRow[]> {
    return this.walk<SaleRow>('sales_captured', SALE_COLUMNS, 'captured_at', sessionId, since, atMost);
  }

  newestSales(limit: number, before?: number): Promise<SaleRow[]> {
    let query = this.client.from('sales_captured').select(SALE_COLUMNS).eq('user_id', this.user);
    if (before !== undefined) query = query.lt('captured_at', new Date(before).toISOString());
    return rows<SaleRow>(query.order('captured_at', { ascending: false }).limit(limit));
  }

  // Pages follow each other by time; rows of the same moment are asked for twice and kept once.
  private async walk<T extends { id: string }>(
    table: string, columns: string, time: string, sessionId: string, since: string | undefined, atMost: number,
  ): Promise<T[]> {
    const out = new Map<string, T>();
    let from = since;
    let offset = 0;
    while (out.size < atMost) {
      let query = this.client.from(table).select(columns).eq('stream_session_id', sessionId);
      if (from !== undefined) query = query.gte(time, from);
      const page = await rows(
        query.order(time, { ascending: true }).order('id', { ascending: true })
          .range(offset, offset + PAGE - 1) as unknown as PromiseLike<Answer<T[]>>);
      const known = out.size;
      for (const row of page) out.set(row.id, row);
      if (page.length < PAGE) break;
      const last = (page[page.length - 1] as unknown as Record<string, string>)[time];
      // A whole page of one moment: count instead.
      if (last === from || out.size === known) offset += PAGE;
      else [from, offset] = [last, 0];
    }
    return [...out.values()];
  }

  // --- verdicts

  // In any order; messages that were not judged are missing.
  async verdicts(ids: readonly string[]): Promise<VerdictRow[]> {
    const pieces: string[][] = [];
    for (let i = 0; i < ids.length; i += IDS_PER_QUERY) pieces.push(ids.slice(i, i + IDS_PER_QUERY));
    const out: VerdictRow[] = [];
    const worker = async () => {
      for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
        const found = await rows<VerdictRow>(this.client.from('message_analysis').select(VERDICT_COLUMNS).in('message_id', piece));
        for (const row of found) out.push({ ...row, confidence: Number(row.confidence) });
      }
    };
    await Promise.all(Array.from({ length: QUERIES_AT_ONCE }, worker));
    return out;
  }

  // --- settings of the user

  async soundEnabled(): Promise<boolean | undefined> {
    const { data, error } = await this.client
      .from('user_settings').select('alert_sound_enabled').eq('user_id', this.user).maybeSingle();
    return error ? undefined : (data as { alert_sound_enabled: boolean } | null)?.alert_sound_enabled;
  }

  async setSound(isOn: boolean): Promise<void> {
    await this.client.from('user_settings').upsert({ user_id: this.user, alert_sound_enabled: isOn }, { onConflict: 'user_id' });
  }
}
