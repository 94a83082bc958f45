import assert from 'node:assert/strict';
import test from 'node:test';
import { Feed, matcher, type Line } from '../src/lib/feed';

const line = (id: string, at: number, more: Partial<Line> = {}): Line => ({
  id, at, user: 'ann', text: `text ${id}`, role: 'viewer', isBuyer: false, isQuestion: false, confidence: 0.1, isStored: false, ...more,
});
const all = () => true;
const ids = (lines: Line[]) => lines.map((each) => each.id).join(' ');

test('a line that comes by both ways is one, and knows what both know', () => {
  const feed = new Feed();
  assert.equal(feed.add(line('a', 1, { isBuyer: true, confidence: 0.9, role: 'host' })), true);
  assert.equal(feed.add(line('a', 2, { isStored: true, confidence: null })), false);
  assert.deepEqual(feed.newest(10, all), [line('a', 1, { isBuyer: true, confidence: 0.9, isStored: true, role: 'host' })]);
  assert.equal(feed.total, 1);
});

test('the database first, the WebSocket later: the verdict is added', () => {
  const feed = new Feed();
  feed.add(line('a', 1, { isStored: true, confidence: null }));
  feed.add(line('a', 1, { isQuestion: true, confidence: 0.4 }));
  assert.deepEqual(feed.get('a'), line('a', 1, { isStored: true, isQuestion: true, confidence: 0.4 }));
});

test('missed lines take their place in time', () => {
  const feed = new Feed();
  for (const [id, at] of [['a', 1], ['d', 4], ['b', 2], ['c', 3], ['e', 4]] as const) feed.add(line(id, at));
  assert.equal(ids(feed.newest(10, all)), 'a b c d e');
});

test('the newest are kept and the rest is forgotten, in pieces', () => {
  const feed = new Feed(1000);
  for (let i = 0; i < 5000; i++) feed.add(line(`l${i}`, i));
  assert.ok(feed.size >= 1000 && feed.size <= 1200, String(feed.size));
  assert.equal(feed.total, 5000);
  assert.equal(feed.get('l0'), undefined);
  assert.equal(feed.last()?.id, 'l4999');
  // Older than what is kept: it would be dropped again.
  assert.equal(feed.add(line('old', 1)), false);
  assert.equal(feed.get('old'), undefined);
});

test('a drawing sees a new object exactly where something changed', () => {
  const feed = new Feed();
  feed.add(line('a', 1));
  feed.add(line('b', 2));
  const [a, b] = feed.newest(2, all);
  const { version } = feed;
  feed.add(line('a', 1)); // nothing new
  assert.equal(feed.version, version);
  feed.update('b', { isStored: true });
  assert.equal(feed.newest(2, all)[0], a);
  assert.notEqual(feed.newest(2, all)[1], b);
});

test('older lines, newer ones counted, and those without a verdict', () => {
  const feed = new Feed();
  for (let i = 0; i < 10; i++) feed.add(line(`l${i}`, i, { isStored: true, confidence: i % 2 ? null : 0.5 }));
  const middle = feed.get('l5')!;
  assert.equal(ids(feed.newest(3, all, middle)), 'l2 l3 l4');
  assert.equal(feed.countAfter(middle, all), 4);
  assert.deepEqual(feed.unjudged(3), ['l9', 'l7', 'l5']);
});

test('filter and search', () => {
  const buyer = line('a', 1, { isBuyer: true, user: 'Bob', text: 'MINE for 40' });
  const question = line('b', 2, { isQuestion: true, text: 'what size?' });
  assert.equal(matcher('buyers', '')(buyer), true);
  assert.equal(matcher('buyers', '')(question), false);
  assert.equal(matcher('questions', '')(question), true);
  assert.equal(matcher('all', ' bob  mine ')(buyer), true);
  assert.equal(matcher('all', 'bob size')(buyer), false);
});
