// Rows as the database has them (sql/migrations), and what they are turned into.
import { amount, epoch } from './format';
import type { Line } from './feed';

export interface SessionRow {
  id: string;
  user_id: string;
  platform: string;
  started_at: string;
  ended_at: string | null;
  total_sales_caught: number;
  total_revenue_recovered: number | string;
  created_at: string;
}

export interface MessageRow {
  id: string;
  stream_session_id: string;
  username: string;
  message: string;
  created_at: string;
}

export interface SaleRow {
  id: string;
  stream_session_id: string | null;
  buyer_username: string;
  message_text: string;
  item_description: string | null;
  estimated_value: number | string | null;
  captured_at: string;
}

export interface VerdictRow {
  message_id: string;
  is_buyer: boolean;
  confidence: number;
  message_type: string;
  item_description: string | null;
  estimated_value: number | string | null;
  captured: boolean;
}

export const MESSAGE_COLUMNS = 'id,stream_session_id,username,message,created_at';
export const SALE_COLUMNS = 'id,stream_session_id,buyer_username,message_text,item_description,estimated_value,captured_at';
export const VERDICT_COLUMNS = 'message_id,is_buyer,confidence,message_type,item_description,estimated_value,captured';

export const isQuestion = (type: string) => type === 'product_question' || type === 'pricing_question';

export function lineOf(row: MessageRow, verdict?: VerdictRow): Line {
  return {
    id: row.id,
    at: epoch(row.created_at),
    user: row.username,
    text: row.message,
    role: 'viewer',
    isBuyer: verdict?.captured ?? false,
    isQuestion: verdict ? isQuestion(verdict.message_type) : false,
    confidence: verdict ? verdict.confidence : null,
    isStored: true,
  };
}

export const revenue = (row: SessionRow) => amount(row.total_revenue_recovered) ?? 0;
