import assert from 'node:assert/strict';
import test from 'node:test';
import { backoff } from '../src/lib/backoff';
import { amount, duration, epoch, money, position } from '../src/lib/format';
import { readAddress, platformOf, showName } from '../src/lib/address';
import { shownAt, timeline } from '../src/lib/replay';
import { buckets, countIn, histogram, rate, runningSum, stacked } from '../src/lib/series';
import { curve, whatIf } from '../src/lib/whatif';
import type { VerdictRow } from '../src/lib/rows';

const MINUTE = 60_000;
const START = 29_000_000 * MINUTE; // at a full minute

test('buckets are minutes, less when the show is young and more when it is long', () => {
  const young = buckets(START + 12_000, START + 40_000);
  assert.equal(young.widthMs, 10_000);
  assert.deepEqual(young.x, [1, 2, 3, 4].map((i) => (START + i * 10_000) / 1000));
  const hour = buckets(START + 10_000, START + 59 * MINUTE);
  assert.equal(hour.widthMs, MINUTE);
  assert.equal(hour.x.length, 60);
  const long = buckets(START, START + 12 * 60 * MINUTE);
  assert.equal(long.widthMs, 5 * MINUTE);
  assert.ok(long.x.length <= 241);
  assert.equal(buckets(START, START).x.length, 1);
});

test('rates are by the minute whatever the bucket, and silence is zero', () => {
  const b = buckets(START, START + 20_000);
  assert.deepEqual(rate(b, [START, START + 1, START + 20_000]), [12, 0, 6]);
  const wide = buckets(START, START + 12 * 60 * MINUTE);
  assert.equal(rate(wide, Array.from({ length: 10 }, (_, i) => START + i))[0], 2);
  assert.deepEqual(countIn(b, [START - 1, START + MINUTE]), [0, 0, 0], 'outside');
});

test('offers add up', () => {
  const b = buckets(START, START + 20_000);
  assert.deepEqual(runningSum(b, [{ at: START, value: 10.1 }, { at: START + 20_000, value: 0.2 }]), [10.1, 10.1, 10.3]);
});

test('the histogram puts borders up and 1 into the last bin', () => {
  assert.deepEqual(histogram([0, 0.7, 0.699, 1, NaN, 2], 10), [1, 0, 0, 0, 0, 0, 1, 1, 0, 1]);
});

test('stacked', () => assert.deepEqual(stacked([[1, 2], [3, 4], [0, 1]]), [[1, 2], [4, 6], [4, 7]]));

const verdict = (message_id: string, confidence: number, captured: boolean, more: Partial<VerdictRow> = {}): VerdictRow => ({
  message_id, confidence, captured, is_buyer: true, message_type: 'direct_purchase', item_description: null, estimated_value: '10.50', ...more,
});

test('what if the threshold were ...', () => {
  const rows = [
    verdict('a', 0.9, true), verdict('b', 0.7, true), verdict('c', 0.65, false), verdict('d', 0.99, false, { is_buyer: false }),
    verdict('e', 0.3, false, { estimated_value: null }),
  ];
  const ids = (list: VerdictRow[]) => list.map((row) => row.message_id).join('');
  const same = whatIf(rows, 0.7);
  assert.deepEqual([ids(same.caught), ids(same.gained), ids(same.lost), same.offered], ['ab', '', '', 21]);
  const lower = whatIf(rows, 0.3);
  assert.deepEqual([ids(lower.caught), ids(lower.gained), ids(lower.lost)], ['abce', 'ce', '']);
  const higher = whatIf(rows, 0.8);
  assert.deepEqual([ids(higher.caught), ids(higher.lost)], ['a', 'b']);
  const line = curve(rows);
  assert.deepEqual([line[0], line[65], line[66], line[70], line[71], line[100]], [4, 3, 2, 2, 1, 0]);
});

test('a replay’s clock cuts silences', () => {
  const moments = timeline([{ at: 0 }, { at: 1000 }, { at: 3_600_000 }, { at: 3_600_500 }]);
  assert.deepEqual(moments, [0, 1000, 6000, 6500]);
  assert.deepEqual([shownAt(moments, -1), shownAt(moments, 0), shownAt(moments, 5999), shownAt(moments, 7000)], [0, 1, 2, 4]);
});

test('addresses as people type them', () => {
  assert.equal(readAddress(' www.whatnot.com/live/abc '), 'https://www.whatnot.com/live/abc');
  assert.equal(readAddress('http://127.0.0.1:8099/live/x'), 'http://127.0.0.1:8099/live/x');
  for (const wrong of ['', 'hello', 'two words.com', 'javascript:alert(1)', 'ftp://a.b/c', 'https://']) assert.equal(readAddress(wrong), undefined, wrong);
  assert.equal(platformOf('https://www.tiktok.com/@x/live'), 'tiktok');
  assert.equal(platformOf('https://nottiktok.com/'), 'whatnot');
  assert.equal(platformOf(''), 'whatnot');
  assert.equal(showName('https://www.whatnot.com/live/card%20night/'), 'card night');
  assert.equal(showName('https://www.whatnot.com/'), 'www.whatnot.com');
});

test('times and money', () => {
  assert.equal(epoch('2026-11-30 10:00:00.123456+00'), Date.parse('2026-11-30T10:00:00.123Z'));
  assert.equal(amount('12.50'), 12.5);
  assert.equal(amount(null), null);
  assert.equal(amount('x'), null);
  assert.deepEqual([money(null), money(12), money(12.5)], ['–', '$12', '$12.50']);
  assert.deepEqual([duration(59_000), duration(61_000), duration(3_720_000)], ['59 s', '1 min 01 s', '1 h 02 min']);
  assert.deepEqual([position(61_000), position(3_661_000)], ['1:01', '1:01:01']);
});

test('waiting doubles, is bounded and spread', () => {
  const top = (failures: number) => backoff(failures, { random: () => 1 });
  assert.deepEqual([0, 1, 2, 3, 4, 5, 50].map(top), [250, 500, 1000, 2000, 4000, 5000, 5000]);
  assert.equal(backoff(0, { random: () => 0 }), 125);
});
