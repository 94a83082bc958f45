import assert from 'node:assert/strict';
import test from 'node:test';
import { AlertBook, alertOfSale, type Alert } from '../src/lib/alerts';

const ID = '0198c0de-0000-7000-8000-000000000001';
const live: Alert = {
  id: ID, sessionId: 's', at: 1000, user: 'ann', text: 'mine, 40', item: 'card', offer: 40, confidence: 0.92, type: 'direct_purchase',
  isConfirmed: false, isDeclined: false,
};
const sale = alertOfSale({
  id: ID, stream_session_id: 's', buyer_username: 'ann', message_text: 'mine, 40', item_description: null, estimated_value: '40.00', captured_at: '2026-11-30T10:00:00.5+00:00',
});
const verdict = {
  message_id: ID, is_buyer: true, confidence: 0.8, message_type: 'interest', item_description: 'other', estimated_value: null, captured: true,
};

test('seen on the WebSocket and confirmed by the database is one alert', () => {
  const book = new AlertBook();
  assert.equal(book.add(live), true);
  assert.equal(book.add(sale), false);
  assert.deepEqual(book.list(), [{ ...live, isConfirmed: true }]);
});

test('the database first is the same alert', () => {
  const book = new AlertBook();
  assert.equal(book.add(sale), true);
  assert.equal(book.get(ID)?.offer, 40);
  assert.equal(book.get(ID)?.at, Date.parse('2026-11-30T10:00:00.500Z'));
  assert.equal(book.add(live), false);
  assert.equal(book.get(ID)?.confidence, 0.92);
  assert.equal(book.get(ID)?.isConfirmed, true);
});

test('hearing the same again changes nothing', () => {
  const book = new AlertBook();
  book.add(live);
  const { version } = book;
  book.add(live);
  assert.equal(book.version, version);
});

test('a verdict tells what is missing, and that no sale was made', () => {
  const book = new AlertBook();
  book.add(sale);
  assert.deepEqual(book.unjudged(0), [ID]);
  book.judge(verdict);
  assert.equal(book.get(ID)?.confidence, 0.8);
  assert.deepEqual(book.unjudged(0), []);

  const other = new AlertBook();
  other.add(live);
  assert.deepEqual(other.unjudged(live.at + 1000), [], 'it may still be on its way');
  assert.deepEqual(other.unjudged(live.at + 10_000), [ID]);
  other.judge({ ...verdict, captured: false });
  assert.equal(other.get(ID)?.isDeclined, true);
  assert.equal(other.get(ID)?.confidence, 0.92, 'what the alert said stays');
  other.add(sale); // judged again later
  assert.deepEqual([other.get(ID)?.isDeclined, other.get(ID)?.isConfirmed], [false, true]);
});

test('newest first, and bounded', () => {
  const book = new AlertBook(100);
  for (let i = 0; i < 300; i++) book.add({ ...live, id: `a${i}`, at: i });
  assert.equal(book.list().length, 100);
  assert.equal(book.list()[0]?.id, 'a299');
});
