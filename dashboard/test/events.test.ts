import assert from 'node:assert/strict';
import test from 'node:test';
import { readEvent } from '../src/lib/events';

const NOW = 5000;
const read = (value: unknown) => readEvent(JSON.stringify(value), NOW);

test('a chat line', () => {
  const event = read({
    type: 'new_message', sessionId: 's', streamId: 'x', messageId: 'm', captured: true, kind: 'chat',
    message: { username: 'ann', message: 'mine', timestamp: '1970-01-01T00:00:01.500Z', isBuyer: true, confidence: 0.9, isQuestion: false, role: 'viewer', source: 'frames', backlog: true, cut: false },
  });
  assert.deepEqual(event, {
    type: 'line', sessionId: 's', isBacklog: true,
    line: { id: 'm', at: 1500, user: 'ann', text: 'mine', role: 'viewer', isBuyer: true, isQuestion: false, confidence: 0.9, isStored: false },
  });
});

test('a buyer', () => {
  const event = read({
    type: 'buyer_detected', sessionId: 's', messageId: 'm',
    buyer: { username: 'ann', message: 'mine 40', confidence: 0.9, reason: 'wants to buy', timestamp: '1970-01-01T00:00:02.000Z', buyerNumber: 1, offer: 40, messageType: 'direct_purchase', item: null },
    stats: { totalBuyers: 3, totalMessages: 9, estimatedValue: 40 },
  });
  assert.ok(event?.type === 'buyer');
  assert.deepEqual([event.buyers, event.messages, event.alert.offer, event.alert.item, event.alert.isConfirmed], [3, 9, 40, null, false]);
});

test('the greeting names the sessions', () => {
  const event = read({
    type: 'hello', service: 'x', version: '1', alarm: '',
    sessions: [{ sessionId: 's', state: 'live', reason: '', stream: { url: 'u', title: null, host: 'h', viewers: 7 }, totalMessages: 5, totalBuyers: 1, messagesPerMinute: 3, ageMs: 10 }, {}],
  });
  assert.ok(event?.type === 'hello');
  assert.deepEqual(event.sessions, [{ sessionId: 's', state: 'live', reason: '', stream: { url: 'u', title: null, host: 'h', viewers: 7 }, messages: 5, buyers: 1, perMinute: 3, ageMs: 10 }]);
});

test('state, facts, figures, errors', () => {
  assert.deepEqual(read({ type: 'stream_state', sessionId: 's', state: 'blocked', reason: 'status 403', httpStatus: 403 }), { type: 'state', sessionId: 's', state: 'blocked', reason: 'status 403' });
  assert.equal(read({ type: 'stream_selected', sessionId: 's', stream: {} })?.type, 'stream');
  assert.deepEqual(read({ type: 'debug_stats', sessionId: 's', stats: { totalMessages: 1, buyerCount: 2, messagesPerMinute: 3 } }), { type: 'stats', sessionId: 's', messages: 1, buyers: 2, perMinute: 3 });
  assert.deepEqual(read({ type: 'error', error: 'e', code: 'c' }), { type: 'error', sessionId: '', text: 'e', code: 'c' });
});

test('what is not understood is nothing, and never throws', () => {
  for (const frame of ['', '{', 'null', '[]', '1', '"x"', '{"type":"new_message"}', '{"type":"buyer_detected","sessionId":1}', '{"type":"stream_state"}', '{"type":"later"}']) {
    assert.equal(readEvent(frame, NOW), undefined, frame);
  }
  // Fields of another type than expected.
  const odd = read({ type: 'new_message', sessionId: 's', messageId: 'm', message: { username: 5, message: {}, timestamp: 'x', confidence: 'high' } });
  assert.ok(odd?.type === 'line');
  assert.deepEqual([odd.line.user, odd.line.text, odd.line.at, odd.line.confidence], ['', '', NOW, null]);
});
