// The course of the demo's show (deploy/demo/show.js): the same for everybody, dense enough, and varied.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { colourOf, drawing } from '../../deploy/demo/art.js';
import { items, lines, people } from '../../deploy/demo/lines.js';
import { JOINED, LOT_MS, biddingAt, lot, messagesBetween, viewersAt } from '../../deploy/demo/show.js';

const BEGIN = Date.UTC(2026, 10, 30, 20), HOUR = 3_600_000;

test('there are 300 lines or more, each once, in which nothing stays unfilled', () => {
    const all = Object.values(lines).flat();
    assert.ok(all.length >= 300, `${all.length} lines`);
    assert.equal(new Set(all).size, all.length);
    const said = messagesBetween(BEGIN, BEGIN + 10 * HOUR).map(({ text }) => text);
    assert.deepEqual(said.filter((text) => /[{}]|undefined|NaN/.test(text)), []);
    assert.ok(new Set(said).size > 500);
    assert.equal(new Set(people).size, people.length);
    for (const { kind, colour, item } of items) {
        if (kind !== 'bag') assert.notEqual(drawing(kind), drawing('no such thing'), item); // drawn as a bag
        assert.match(colourOf(colour), /^#[0-9a-f]{6}$/);
    }
});

test('whoever asks, and in whatever pieces, hears the same', () => {
    const whole = messagesBetween(BEGIN, BEGIN + HOUR);
    const pieces = [];
    for (let at = BEGIN; at < BEGIN + HOUR; at += 777) pieces.push(...messagesBetween(at, Math.min(at + 777, BEGIN + HOUR)));
    assert.deepEqual(pieces, whole);
    assert.equal(new Set(whole.map(({ id }) => id)).size, whole.length);
    assert.ok(whole.every(({ at }, i) => i === 0 || at >= whole[i - 1].at), 'in the order of time');
});

test('the pace is that of a show: no long silence, bursts, people who join, buyers in each lot', () => {
    const said = messagesBetween(BEGIN, BEGIN + HOUR);
    const gaps = said.slice(1).map(({ at }, i) => at - said[i].at);
    assert.ok(Math.max(...gaps) < 10_000, `${Math.max(...gaps)} ms of silence`);
    const perSecond = new Map();
    for (const { at } of said) perSecond.set(Math.floor(at / 1000), (perSecond.get(Math.floor(at / 1000)) ?? 0) + 1);
    assert.ok(Math.max(...perSecond.values()) >= 4);
    assert.ok(said.some(({ text, kind }) => text === JOINED && kind === 'joined'));
    for (let number = BEGIN / LOT_MS; number < BEGIN / LOT_MS + 60; number++) {
        assert.equal(lot(number).messages.filter(({ kind }) => kind === 'claim').length, 5);
    }
});

test('bids rise, the lot is sold to the last bidder, and people come and go', () => {
    for (let number = BEGIN / LOT_MS; number < BEGIN / LOT_MS + 100; number++) {
        const { bids, startsAt, start } = lot(number);
        assert.ok(bids.length >= 4 && bids[0].price === start);
        assert.ok(bids.every(({ price }, i) => i === 0 || price > bids[i - 1].price));
        const end = biddingAt(startsAt + LOT_MS - 1), last = bids[bids.length - 1];
        assert.deepEqual([end.isSold, end.leader, end.price, end.leftMs], [true, last.user, last.price, 0]);
    }
    const viewers = Array.from({ length: 60 }, (_, i) => viewersAt(BEGIN + i * 60_000));
    assert.ok(Math.min(...viewers) > 200 && Math.max(...viewers) < 700 && new Set(viewers).size > 20, viewers.join(' '));
});
