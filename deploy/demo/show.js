// deploy/demo/show.js - the course of the demo's show: which lot is on, who says what, who bids. A
// function of the clock alone, without a server: whoever opens the page sees the same show, be it a
// person or the scraper, and a reload goes on where it was. Pure; works in Node as well.
import { HOST, items, lines, moderators, people } from './lines.js';

export const LOT_MS = 60_000;
export const SOLD_MS = 52_000; // into the lot
export const JOINED = 'joined 👋';
const START_SHARE = 0.3; // of the usual price
const LATE_MS = SOLD_MS - 400; // the last bid

// A small generator of numbers from 0 to 1 (mulberry32), for each purpose its own.
const randomFrom = (seed) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
};
const seedOf = (text) => [...text].reduce((hash, char) => Math.imul(hash ^ char.codePointAt(0), 16777619) >>> 0, 2166136261);

const shuffled = (list, random) => {
  const copy = [...list];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
};

// The lines of a kind in an order that comes back only when all were said; `nth` counts since ever.
const dealt = new Map();
const deal = (kind, nth) => {
  const length = lines[kind].length, round = Math.floor(nth / length), key = `${kind} ${round}`;
  if (!dealt.has(key)) {
    if (dealt.size > 200) dealt.clear();
    dealt.set(key, shuffled(lines[kind], randomFrom(seedOf(key))));
  }
  return dealt.get(key)[nth % length];
};

// How many of each kind a lot has, and when: [kind, count, from, to] in milliseconds of the lot.
// What comes in a burst has a short time.
const SCORE = [
  ['hostOpen', 1, 600, 900],
  ['praise', 5, 2500, 6500],
  ['greeting', 2, 1500, 30_000],
  ['question', 5, 7000, 40_000],
  ['hostAnswer', 3, 12_000, 42_000],
  ['praise', 4, 8000, 46_000],
  ['banter', 6, 3000, 50_000],
  ['offer', 2, 12_000, 44_000],
  ['trap', 3, 10_000, 50_000],
  ['service', 1, 9000, 45_000],
  ['moderator', 1, 15_000, 45_000],
  ['claim', 2, 14_000, 38_000],
  ['claim', 3, 43_000, 51_500],
  ['hostSold', 1, SOLD_MS + 300, SOLD_MS + 500],
  ['after', 5, SOLD_MS + 900, SOLD_MS + 5500],
  ['banter', 1, 56_000, 59_500],
  ['joined', 5, 1000, 59_000],
];
const PER_LOT = {};
for (const [kind, count] of SCORE) PER_LOT[kind] = (PER_LOT[kind] ?? 0) + count;

const money = (dollars) => `$${Math.round(dollars)}`;

const bidsOf = (random, item) => {
  const start = Math.max(3, Math.round(item.price * START_SHARE)), end = item.price * (0.85 + 0.45 * random());
  const bids = [];
  let price = start, at = 5000 + 3000 * random();
  while (at < LATE_MS) {
    bids.push({ at, price, user: people[Math.floor(random() * people.length)] });
    const left = (end - price) / Math.max(1, (LATE_MS - at) / 5000);
    price += Math.max(1, Math.round(left * (0.4 + 1.2 * random())));
    at += 1800 + 5200 * random();
  }
  return { start, bids };
};

const lots = new Map();

/** Everything about one lot: {number, item, kind, colour, size, start, bids, messages, startsAt}. Times
 * of bids and messages count from the epoch, as Date.now() does. */
export const lot = (number) => {
  if (lots.has(number)) return lots.get(number);
  const random = randomFrom(seedOf(`lot ${number}`));
  const item = shuffled(items, randomFrom(seedOf(`items ${Math.floor(number / items.length)}`)))[number % items.length];
  const { start, bids } = bidsOf(random, item);
  const winner = bids[bids.length - 1];
  const startsAt = number * LOT_MS;
  const present = shuffled(people, random).slice(0, 32);
  const used = {};
  const messages = [];
  const fill = (text, at) => {
    const standing = bids.findLast((bid) => bid.at < at)?.price ?? start;
    const values = { item: item.item, size: item.size, colour: item.colour, host: HOST, winner: winner.user, n: 1 + number % 200,
      start: money(start), bid: money(at > SOLD_MS ? winner.price : standing + 1 + Math.floor(random() * 4)), price: money(item.price),
      low: money(Math.max(standing, item.price * 0.6)) };
    return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
  };
  for (const [kind, count, from, to] of SCORE) {
    for (let i = 0; i < count; i++) {
      const at = from + (to - from) * random();
      const nth = number * PER_LOT[kind] + (used[kind] = (used[kind] ?? 0) + 1) - 1;
      const text = kind === 'joined' ? JOINED : fill(deal(kind, nth), at);
      const who = kind.startsWith('host') ? { user: HOST, role: 'Host' }
        : kind === 'moderator' ? { user: moderators[number % moderators.length], role: 'Mod' }
          : { user: present[Math.floor(random() * present.length)], role: '' };
      messages.push({ ...who, at: startsAt + at, kind, text });
    }
  }
  messages.sort((a, b) => a.at - b.at).forEach((message, i) => { message.id = `${number}-${i}`; });
  const made = { number, ...item, start, startsAt, messages, bids: bids.map((bid) => ({ ...bid, at: startsAt + bid.at })) };
  if (lots.size > 20) lots.clear();
  lots.set(number, made);
  return made;
};

export const lotAt = (now) => lot(Math.floor(now / LOT_MS));

/** What was said after `from` and not after `to`, oldest first. */
export const messagesBetween = (from, to) => {
  const found = [];
  for (let number = Math.floor(from / LOT_MS); number * LOT_MS <= to; number++) {
    found.push(...lot(number).messages.filter(({ at }) => at > from && at <= to));
  }
  return found;
};

/** {price, leader, count, isSold, leftMs} of the lot that is on. */
export const biddingAt = (now) => {
  const { bids, start, startsAt } = lotAt(now);
  const placed = bids.filter(({ at }) => at <= now), last = placed[placed.length - 1];
  return { price: last?.price ?? start, leader: last?.user ?? '', count: placed.length,
    isSold: now >= startsAt + SOLD_MS, leftMs: Math.max(0, startsAt + SOLD_MS - now) };
};

/** People watching: two slow waves, and a restless rest that steps every four seconds. */
export const viewersAt = (now) => {
  const minute = now / 60_000, rest = randomFrom(Math.floor(now / 4000))();
  return Math.round(412 + 96 * Math.sin(minute / 7) + 38 * Math.sin(minute / 1.7) + 14 * rest);
};
