'use strict';
// Scores a capture against the truth log.
//   node score.js --truth http://127.0.0.1:8099/truth/demo --captured messages.jsonl [--view ID] [--since MS] [--until MS]
// Each captured line is JSON with a user name, a text and (for latency) a receipt time in epoch milliseconds; the usual
// spellings (username/user, message/text, received_at/ts/timestamp) are understood. The tests call score() themselves.
const fs = require('fs');
const norm = t => String(t ?? '').normalize('NFC').replace(/[\s\u00a0]+/g, ' ').trim();
const percentile = (a, p) => a.length ? [...a].sort((x, y) => x - y)[Math.min(a.length - 1, Math.floor(p * a.length))] : null;
const key = (user, text) => norm(user) + '\0' + norm(text);

// truth: what /truth/ID answers. captured: [{username, message, at}], in the order of receipt; `at` may be missing.
// options: view (one page's), since, until (by time sent), expect: 'shown' (what a page put in its document) or 'sent' (all),
// from: the time that latency counts from, 'shown' or 'sent'.
function score(truth, captured, { view, since = 0, until = Infinity, expect = 'shown', from = 'shown' } = {}) {
  const shownAt = e => view ? e.shown[view] : Math.min(...Object.values(e.shown));
  const counts = e => expect === 'sent' || Number.isFinite(shownAt(e));
  const all = truth.messages.filter(e => e.sent_at >= since && e.sent_at <= until && counts(e)), inside = new Set(all);
  const want = all.filter(e => e.kind === 'chat'), pool = new Map(), outside = new Map(), sys = new Set(all.filter(e => e.kind !== 'chat').map(e => key(e.user, e.text)));
  const keep = (m, e) => { const k = key(e.user, e.text); (m.get(k) || m.set(k, []).get(k)).push(e); };
  for (const e of want) keep(pool, e);
  for (const e of truth.messages) if (!inside.has(e) && e.kind === 'chat') keep(outside, e);
  const known = new Set(pool.keys()), lat = [], bogusExamples = [], duplicateExamples = []; let hit = 0, dup = 0, system = 0, bogus = 0, order = 0, lastSeq = 0, old = 0;
  for (const c of captured) {                                        // each message of the log answers for one captured line, none for one received before it was sent
    const k = key(c.username, c.message), show = k.replace('\0', ' => ').slice(0, 100), first = (m) => { const e = m.get(k)?.[0]; return e && !(e.sent_at > c.at + 50) ? m.get(k).shift() : null; };
    const e = first(pool);
    if (e) { hit++; if (Number.isFinite(c.at)) lat.push(c.at - (from === 'sent' ? e.sent_at : shownAt(e))); if (e.seq < lastSeq) order++; lastSeq = e.seq; }
    else if (first(outside)) old++; else if (known.has(k) || outside.has(k)) { dup++; if (duplicateExamples.length < 5) duplicateExamples.push(show); } else if (sys.has(k)) system++; else { bogus++; if (bogusExamples.length < 5) bogusExamples.push(show); }
  }
  const emitted = hit + dup + system + bogus;
  return { expected: want.length, emitted, hit, missed: want.length - hit, duplicates: dup, system_rows_as_chat: system, bogus, outside_window: old, recall: hit / (want.length || 1), precision: hit / (emitted || 1), out_of_order: order,
    latency_ms: { p50: percentile(lat, .5), p90: percentile(lat, .9), p99: percentile(lat, .99), max: percentile(lat, 1) }, missed_examples: [...pool.values()].flat().slice(0, 5).map(e => e.seq + ': ' + e.user + ' => ' + e.text.slice(0, 80)), bogus_examples: bogusExamples, duplicate_examples: duplicateExamples, latencies: lat };
}

async function main() {
  const arg = (n, d) => { const i = process.argv.indexOf('--' + n); return i > 0 ? process.argv[i + 1] : d; };
  const src = arg('truth'), truth = src.startsWith('http') ? await (await fetch(src)).json() : JSON.parse(fs.readFileSync(src, 'utf8'));
  const captured = fs.readFileSync(arg('captured'), 'utf8').split('\n').filter(Boolean).map(line => {
    const c = JSON.parse(line), m = c.message && typeof c.message === 'object' ? c.message : c;
    return { username: m.username ?? m.user ?? m.author, message: m.message ?? m.text, at: +new Date(m.received_at ?? c.received_at ?? m.ts ?? c.ts ?? m.timestamp ?? NaN) };
  });
  const rounded = (name, value) => typeof value === 'number' && !Number.isInteger(value) ? +value.toFixed(4) : value;
  const { latencies, ...result } = score(truth, captured, { view: arg('view'), since: +arg('since', 0), until: +arg('until', Infinity) });
  console.log(JSON.stringify(result, rounded, 1));
}

module.exports = { score, percentile };
if (require.main === module) main();
