// The script that reads pages, in a real browser on the stand-in site, its reports judged by the
// daemon's own code: every row once, in order, whatever draws the list.
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Browser } from './lib/cdp-pipe.mjs';
import { FakeSite } from './lib/fakestream.mjs';
import { Watch, discoverScript, pageScript, root, squeeze } from './lib/page-watch.mjs';
import { sleep, until } from './lib/wait.mjs';

const JOIN = 'joined \u{1F44B}';
const OWN = ['bare', 'textnode', 'newest', 'shadow', 'frame', 'reverse', 'places', 'late', 'grouped', 'table'];
const STRATEGY = { A: 'test-ids', B: 'structure', C: 'role-log', F: 'test-ids', frame: 'user-links' };

let site, browser, lastId = 0;
before(async () => {
  site = await FakeSite.start({ variants: path.join(root, 'tests/fakestream/variants') });
  browser = await Browser.start();
});
after(async () => {
  await browser?.stop();
  await site?.stop();
});

async function open(variant, { rate = 0, profile = 'mix', backlog = 12, transport = 'sse', ...more } = {}) {
  const id = `page-${++lastId}-${variant}`;
  await site.control({ id, rate: 0, profile, burst: backlog });
  const watch = await Watch.open({ browser, site, id, query: `variant=${variant}&transport=${transport}`, ...more });
  if (backlog > 0) await until('the backlog', () => watch.isShown());
  await site.control({ id, rate });
  return watch;
}

const say = (watch, what) => site.control({ id: watch.id, ...what });
const found = (watch) => until('the chat list', () => watch.count('snapshot') > 0 && watch.strategy());

describe('every way to draw a chat', { concurrency: 3 }, () => {
  for (const variant of ['A', 'B', 'C', 'F', ...OWN]) {
    it(`${variant}: each row once and in order, repeats and lists drawn anew included`, async () => {
      const watch = await open(variant, { rate: 6, profile: 'claims' });
      assert.equal(await found(watch), STRATEGY[variant] ?? 'structure');
      await sleep(1500); // of chat
      await say(watch, { duplicate: { user: 'twin', text: 'mine', count: 10, gap_ms: 0 } });
      await say(watch, { duplicate: { user: 'twin', text: 'W', count: 5, gap_ms: 60 } });
      await sleep(700);
      await say(watch, { remount: 1 });
      await sleep(400);
      await say(watch, { rerender: 1 });
      await sleep(1500);
      await watch.exact(variant);
      await watch.close();
    });
  }
});

it('follows a page that changes its layout under way', async () => {
  const watch = await open('A', { rate: 5, profile: 'claims' });
  for (const variant of ['B', 'C', 'newest', 'shadow', 'frame', 'F', 'A']) {
    await sleep(900);
    await say(watch, { variant });
  }
  await sleep(900);
  await watch.exact('changes');
  await watch.close();
});

it('reads odd texts as they are, and lets none of them out', async () => {
  const said = ['\u{1F525}\u{1F525}', 'yo quer\u00EDa\u0301 ese \u{1F440}', '\u9019\u500B\u591A\u5C11\u9322\uFF1F', '\u0633\u0639\u0631 \u0643\u0645\u061F',
    'family \u{1F468}\u200D\u{1F469}\u200D\u{1F467}\u200D\u{1F466} pack', 'e\u0301 vs \u00E9', '\u{1F1FA}\u{1F1F2} \u{1F1F2}\u{1F1FD}', '\u202Ertl', 'W', 'Host', 'Mod', 'now', '10:30', 'http://x.y',
    'hey: colon', ': )', 'RESTOCK FREE SHIPPING', 'joined the party \u{1F44B} 7', '@koda.co is that you', 'for @koda.co and @mia_99!',
    '<script>window.__pwned=1</script>', '"><img src=x onerror=alert(1)>', '{"json":"\\u0000"}', 'back\\slash', '&lt;b&gt;', 'x'.repeat(2000)];
  for (const variant of ['A', 'B', 'C', 'bare']) {
    const watch = await open(variant, { profile: 'plain' });
    await found(watch);
    const got = await watch.says(said.map((text, i) => ({ user: i % 2 ? 'dave.thrifts_99' : 'n\u00EF.x', text })));
    assert.deepEqual(got.map((line) => squeeze(line.message)), said.map(squeeze), variant);
    assert.deepEqual([...new Set(got.map((line) => line.username))], ['n\u00EF.x', 'dave.thrifts_99']);
    assert.ok(got.every((line) => line.kind === 'chat'));
    const [long] = await watch.says([{ user: 'long.talker', text: `a${'\u00E9'.repeat(3000)}` }]);
    assert.match(long.message, /^a\u00E9+$/u);
    assert.ok(Buffer.byteLength(long.message) > 3990 && Buffer.byteLength(long.message) <= 4000);
    assert.equal(await watch.page.inPage('window.__pwned === undefined'), true);
    assert.equal(watch.page.dialogs, undefined);
    await watch.close();
  }
});

it('tells joins, moderators and names from what they look like', async () => {
  for (const variant of ['A', 'C', 'bare', 'shadow']) {
    const watch = await open(variant);
    await found(watch);
    const said = [{ user: 'newcomer', text: JOIN }, { user: 'mo.d', text: 'be nice', badge: 'Mod' },
      { user: 'ri', text: 'ri' }, { user: 'W', text: 'W' }, { user: 'a_name.of.30_characters.with.1s', text: 'mine' }];
    const got = await watch.says(said);
    assert.deepEqual(got.map((line) => [line.username, line.message]), said.map((line) => [line.user, line.text]), variant);
    assert.deepEqual(got.map((line) => line.kind), ['join', 'chat', 'chat', 'chat', 'chat']);
    if (variant !== 'C') assert.equal(got[1].role, 'moderator', variant); // C draws no badges
    assert.equal(got[0].role, 'viewer');
    await watch.close();
  }
});

it('takes no card, counter or menu for chat', async () => {
  const watch = await open('B', { backlog: 0 });
  await sleep(7500); // cards change every 5 s
  assert.equal(watch.captured.length, 0, JSON.stringify(watch.captured));
  await watch.says([{ user: 'first', text: 'hello' }, { user: 'second', text: 'hi' }]);
  assert.equal(watch.captured.length, 2);
  await watch.close();
});

it('loses nothing of a list that is empty at first', async () => {
  for (const variant of ['A', 'C', 'bare']) {
    const watch = await open(variant, { backlog: 0 });
    await sleep(1500);
    const got = await watch.says([1, 2, 3, 4, 5].map((i) => ({ user: `user${i}`, text: `message ${i}` })));
    assert.deepEqual(got.map((line) => line.message), [1, 2, 3, 4, 5].map((i) => `message ${i}`), variant);
    await watch.close();
  }
});

it('reports a message once, though frames and document bring it both', async () => {
  for (const variant of ['A', 'B', 'C', 'F']) {
    const watch = await open(variant, { rate: 6, profile: 'claims', transport: 'ws', sources: 'DF' });
    await found(watch);
    await say(watch, { remount: 1 });
    await sleep(800);
    await say(watch, { disconnect: 1, for_ms: 800 });
    await sleep(2500);
    await say(watch, { duplicate: { user: 'twin', text: 'mine', count: 10, gap_ms: 0 } });
    await sleep(500);
    await watch.exact(`both, ${variant}`);
    await watch.close();
  }
});

it('works by polling where no observer fires', async () => {
  const script = pageScript.replace("'use strict';", "'use strict'; const MutationObserver = class { observe() {} disconnect() {} };");
  for (const variant of ['A', 'C']) {
    const watch = await open(variant, { rate: 6, profile: 'claims', script, sources: 'P' });
    await until('a list', () => watch.strategy());
    for (let i = 0; i < 4; i++) {
      await sleep(700);
      if (i === 2) await say(watch, { remount: 1 });
      await watch.page.evaluate('dealflow.snapshot()');
    }
    await site.control({ id: watch.id, rate: 0 });
    await until('the last row', () => watch.isShown());
    await watch.page.evaluate('dealflow.snapshot()');
    await watch.exact(`polling ${variant}`);
    assert.equal(watch.count('rows'), 0);
    await watch.close();
  }
});

it('only counts while it is told to', async () => {
  const watch = await open('A', { profile: 'plain' });
  await found(watch);
  await sleep(1200); // until it has settled
  await watch.page.evaluate("dealflow.mode('count')");
  const before = watch.captured.length;
  await say(watch, { burst: 7 });
  await until('a count', () => watch.results.some((result) => result.type === 'count'), { timeoutMs: 8000 });
  assert.equal(watch.results.reduce((sum, result) => sum + (result.added ?? 0), 0), 7);
  assert.equal(watch.captured.length, before);
  await watch.page.evaluate("dealflow.mode('report')");
  await until('the seven rows', () => watch.captured.length === before + 7);
  await watch.says([{ user: 'late', text: 'one more' }]);
  await watch.close();
});

it('notices viewers and the end of the show, but not when somebody talks of it', async () => {
  const watch = await open('A');
  await until('facts', () => watch.facts());
  const { host, title, viewers } = await (await fetch(`${site.url}/`)).text().then(() => watch.facts());
  assert.ok(host !== '' && title !== '' && viewers > 0, JSON.stringify(watch.facts()));
  await site.control({ id: watch.id, viewers: 1234 });
  await until('1234 viewers', () => watch.facts().viewers === 1234);
  await watch.says([{ user: 'joker', text: 'Show Has Ended' }]);
  await sleep(1200);
  assert.equal(watch.facts().ended, false);
  const before = watch.captured.length;
  await site.control({ id: watch.id, ended: true });
  await until('the end', () => watch.facts().ended, { timeoutMs: 5000 });
  assert.equal(watch.captured.length, before, 'the banner is no row');
  assert.equal(JSON.parse(await watch.page.evaluate('dealflow.facts()')).ended, true);
  await watch.close();
});

it('tells how a wall begins', async () => {
  const id = 'walled';
  await site.control({ id, status: 429 });
  const watch = await Watch.open({ browser, site, id });
  await until('facts', () => watch.facts());
  assert.match(watch.facts().text, /^Just a moment\.\.\. Checking your browser/);
  await watch.close();
});

it('cannot be seen or imitated by the page', async () => {
  const watch = await open('A');
  await found(watch);
  assert.equal(await watch.page.inPage('typeof dealflowReport + typeof dealflow'), 'undefinedundefined');
  const before = watch.results.length;
  await watch.page.inPage('try { dealflowReport(\'{"t":"lost"}\') } catch { 1 }');
  await watch.says([{ user: 'honest', text: 'row' }]);
  assert.ok(watch.results.slice(before).every((result) => result.type !== 'lost'));
  await watch.close();
});

it('lists the shows of the index page', async () => {
  const page = await browser.open(pageScript);
  await page.navigate(`${site.url}/`);
  await until('the cards', () => page.inPage('document.querySelectorAll("a[href^=\\"/live/\\"]").length === 12').catch(() => false));
  const shows = JSON.parse(await page.evaluate(discoverScript));
  const truth = await page.inPage(`[...document.querySelectorAll('.card')].map((card) => ({ url: card.href,
    title: card.querySelector('h3').textContent, host: card.querySelector('.by').textContent,
    shown: card.querySelector('.pill').textContent }))`);
  assert.equal(shows.length, 12);
  const count = (text) => text.endsWith('K') ? Math.round(parseFloat(text) * 1000) : Number(text);
  assert.deepEqual(shows, truth.map(({ shown, ...show }) => ({ ...show, viewers: count(shown) })));
  assert.ok(truth.some(({ shown }) => shown.endsWith('K')), 'the page has such a count');
  await page.close();
});

it('blocks images, fonts and media, and nothing else', async () => {
  const rules = JSON.parse(fs.readFileSync(path.join(root, 'scraper/page/rules.json'), 'utf8'));
  const page = await browser.open(pageScript);
  await page.send('Network.setBlockedURLs', { urls: rules.blocked_urls });
  const before = await site.stats();
  await page.navigate(`${site.live('blocked')}?variant=A`);
  await until('the page', () => page.inPage('document.readyState === "complete"').catch(() => false));
  await until('its script', async () => (await site.stats()).script > (before.script ?? 0));
  const now = await site.stats();
  for (const kind of ['image', 'font', 'media']) assert.equal(now[kind] ?? 0, before[kind] ?? 0, kind);
  await page.close();
});
