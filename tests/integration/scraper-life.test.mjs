// The life of streams, browser and daemon: starts, crashes, hangs, walls, ends, rotation, signals. The
// numbers are those of the acceptance list; DF_LONG=1 takes the full times.
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { FakeSite, percentile, wallMs } from './lib/fakestream.mjs';
import { Scraper, long, releaseBinary } from './lib/scraper.mjs';
import { Show, complete, figures } from './lib/show.mjs';
import { allProcesses, chromiumType, descendants } from './lib/proctree.mjs';
import { run } from './lib/process.mjs';
import { sleep, until, within } from './lib/wait.mjs';

const SECOND = 1000;
const texts = (messages) => messages.map((each) => each.message);

let site;
before(async () => {
  site = await FakeSite.start();
});
after(() => site?.stop());

// A daemon of the test's own, ended with it however it goes.
async function daemon(t, env, options) {
  const scraper = await Scraper.start({ site, env, ...options });
  t.after(() => scraper.stop());
  return { site, scraper, client: await scraper.client() };
}

const renderers = (scraper) => scraper.browserProcesses().filter((each) => chromiumType(each.pid) === 'renderer');
const browserOf = (scraper) => scraper.browserProcesses().find((each) => each.ppid === scraper.pid && chromiumType(each.pid) === '');

// After something broke at `moment`: when did the state say so, and when was it live again?
async function breaks(show, moment, from, { noticedMs, liveMs, states = ['recovering'] }, t) {
  const noticed = await show.client.seesState(show.sessionId, states, { from, timeoutMs: noticedMs + 20 * SECOND });
  const live = await show.client.seesState(show.sessionId, 'live', { from: show.client.events.indexOf(noticed), timeoutMs: liveMs + 20 * SECOND });
  const took = [noticed.at - moment, live.at - moment];
  t.diagnostic(`noticed after ${Math.round(took[0])} ms, live again after ${Math.round(took[1])} ms (${noticed.reason})`);
  assert.ok(noticed.reason.length > 0, 'with a reason');
  assert.ok(took[0] <= noticedMs, `noticed after ${took[0]} ms`);
  assert.ok(took[1] <= liveMs, `live again after ${took[1]} ms`);
}

describe('starting', () => {
  it('26 the first message of a live show, with a cold and with a warm browser', async (t) => {
    const base = await daemon(t, {}, { program: releaseBinary });
    for (const [which, most] of [['cold', 5 * SECOND], ['warm', 3 * SECOND]]) {
      const id = `start-${which}`;
      await site.control({ id, rate: 10 });
      const began = wallMs();
      const sessionId = randomUUID();
      const answer = base.scraper.begin({ url: site.live(id), sessionId });
      const first = await base.client.sees((event) => event.type === 'new_message' && event.sessionId === sessionId && !event.message.backlog);
      t.diagnostic(`${which}: ${Math.round(first.at - began)} ms`);
      assert.ok(first.at - began <= most, `${which}: ${first.at - began} ms`);
      const { status, json } = await answer;
      assert.equal(status, 200);
      assert.deepEqual([json.status, json.sessionId, json.stream.url], ['monitoring', sessionId, site.live(id)]);
    }
  });

  it('33 two simultaneous starts of one session are one session and one page', async (t) => {
    const { scraper } = await daemon(t);
    const sessionId = randomUUID();
    const answers = await Promise.all([1, 2].map(() => scraper.begin({ url: site.live('twice'), sessionId })));
    assert.deepEqual(answers.map((each) => each.status), [200, 200], answers.map((each) => each.body).join('\n'));
    assert.equal(answers[0].json.streamId, answers[1].json.streamId);
    await scraper.reaches(sessionId, 'live');
    assert.equal((await scraper.health()).activeSessions, 1);
    assert.equal((await site.streamStats('twice')).clients, 1);
  });

  it('33 a restart keeps the page watched until the new one lives, or for good when it does not', async (t) => {
    const base = await daemon(t);
    const show = await Show.open({ ...base, id: 'keep-old' });
    await site.control({ id: 'keep-walled', status: 403 });
    const refused = await base.scraper.begin({ url: site.live('keep-walled'), sessionId: show.sessionId });
    assert.ok(refused.status >= 400, `${refused.status} ${refused.body}`);
    assert.deepEqual(texts(await show.say([{ user: 'a', text: 'still watched' }])), ['still watched']);

    await site.control({ id: 'keep-new', slow_ms: 1500 });
    const answer = base.scraper.begin({ url: site.live('keep-new'), sessionId: show.sessionId });
    assert.deepEqual(texts(await show.say([{ user: 'a', text: 'watched meanwhile' }])), ['watched meanwhile']);
    assert.equal((await answer).status, 200);
    await until('the new page to count', async () => (await base.scraper.session(show.sessionId)).stream.url.endsWith('keep-new'));
    await until('the old page to be closed', async () => (await site.streamStats('keep-old')).clients === 0);
    const next = base.client.messages(show.sessionId).length;
    await site.control({ id: 'keep-new', say: { user: 'b', text: 'from the new page' } });
    await until('its message', () => base.client.messages(show.sessionId).length > next);
    assert.equal(base.client.messages(show.sessionId).at(-1).message, 'from the new page');
  });

  it('36 an empty chat waits and then lives; nothing is lost', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t, { SCRAPER_SOURCE: 'document' });
    const show = new Show({ ...base, id: 'empty', source: 'document', transport: 'sse', empty: true });
    await show.control(show.cfg);
    show.sessionId = randomUUID();
    const answer = base.scraper.begin({ url: show.url, sessionId: show.sessionId });
    await base.scraper.reaches(show.sessionId, 'waiting_chat');
    await sleep(long ? 20 * SECOND : 4 * SECOND);
    assert.equal((await base.scraper.session(show.sessionId)).state, 'waiting_chat');
    await show.control({ empty: false });
    show.since = wallMs();
    await show.control({ burst: 3, rate: 5 });
    await show.live();
    await sleep(3 * SECOND);
    await show.control({ rate: 0 });
    complete(await show.settled(), { atLeast: 8 });
    assert.equal((await answer).status, 200);
  });

  it('37 a slow page succeeds, one over the deadline fails and is tried again', { timeout: 240_000 }, async (t) => {
    const [deadline, slow, slower] = long ? [45_000, 40_000, 60_000] : [3000, 2000, 6000];
    const base = await daemon(t, { NAVIGATION_TIMEOUT_MS: String(deadline), START_WAIT_MS: '0' });
    await site.control({ id: 'slow', slow_ms: slow });
    await site.control({ id: 'slower', slow_ms: slower });
    const sessions = {};
    for (const id of ['slow', 'slower']) {
      sessions[id] = await base.scraper.watch(site.live(id));
    }
    await base.scraper.reaches(sessions.slow, 'live', { timeoutMs: deadline + slow + 10 * SECOND });
    assert.ok(!base.client.states(sessions.slow).includes('recovering'));
    const failed = await base.client.seesState(sessions.slower, 'recovering', { timeoutMs: 2 * deadline + 30 * SECOND });
    t.diagnostic(`failed: ${failed.reason}`);
    await site.control({ id: 'slower', slow_ms: 0 });
    await base.scraper.reaches(sessions.slower, 'live', { timeoutMs: 30 * SECOND });
  });

  it('38 overlays change nothing', { concurrency: true }, async (t) => {
    const base = await daemon(t, { SCRAPER_SOURCE: 'document' });
    for (const overlay of [{ welcome: true, modal: false }, { welcome: false, modal: true }]) {
      const show = await Show.open({ ...base, source: 'document', ...overlay });
      assert.deepEqual(texts(await show.say([{ user: 'a', text: 'below the overlay' }])), ['below the overlay']);
      assert.equal(show.messages().length, 1);
    }
  });
});

describe('breaking pages', { concurrency: 4 }, () => {
  it('27 a killed renderer: noticed, live again, nothing twice, the snapshot recovered', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t);
    const show = await Show.open({ ...base, history: 50 });
    await show.control({ rate: 5 });
    await sleep(2 * SECOND);
    const from = base.client.events.length;
    const moment = wallMs();
    const killed = renderers(base.scraper);
    assert.ok(killed.length > 0);
    for (const each of killed) process.kill(each.pid, 'SIGKILL');
    await breaks(show, moment, from, { noticedMs: 500, liveMs: 5 * SECOND }, t);
    await sleep(2 * SECOND);
    await show.control({ rate: 0 });
    const result = await show.settled();
    t.diagnostic(figures(result));
    complete(result, { atLeast: 15 });
    assert.equal((await base.scraper.session(show.sessionId)).recoveries, 1);
  });

  it('28 a hung page: noticed, opened anew; the others do not feel it', { timeout: 180_000 }, async (t) => {
    const base = await daemon(t);
    const hung = await Show.open({ ...base, history: 50 });
    const other = await Show.open({ ...base });
    const normal = (await other.chat(5, 5, { from: 'sent' })).latency_ms.p99;
    const from = base.client.events.length;
    const moment = wallMs();
    await hung.control({ say: { user: 'a', text: 'before the hang' }, hang_ms: 60_000 });
    const meanwhile = other.chat(5, 12, { from: 'sent' });
    await breaks(hung, moment, from, { noticedMs: 12 * SECOND, liveMs: 20 * SECOND }, t);
    const result = await meanwhile;
    t.diagnostic(`p99 of the other page: ${normal.toFixed(1)} ms before, ${result.latency_ms.p99.toFixed(1)} ms meanwhile`);
    complete(result, { atLeast: 30 });
    // Twice the normal, or what other tests on this machine cost at any time.
    assert.ok(result.latency_ms.p99 <= Math.max(2 * normal, 250), `${result.latency_ms.p99} ms`);
    assert.deepEqual(texts(await hung.say([{ user: 'a', text: 'after the hang' }])), ['after the hang']);
    assert.deepEqual(texts(hung.messages()), ['before the hang', 'after the hang']);
  });

  it('29 a page that exhausts its script heap comes back', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t, { PAGE_HEAP_MB: '64' });
    const show = await Show.open({ ...base, history: 50 });
    await show.say([{ user: 'a', text: 'before the crash' }]);
    const from = base.client.events.length;
    await show.control({ crash: true });
    const noticed = await base.client.seesState(show.sessionId, 'recovering', { from, timeoutMs: 30 * SECOND });
    await breaks(show, noticed.at, from, { noticedMs: 500, liveMs: 5 * SECOND }, t);
    await show.say([{ user: 'a', text: 'after the crash' }]);
    assert.deepEqual(texts(show.messages()), ['before the crash', 'after the crash']);
  });

  it('30 a killed browser: all pages live again, the API answers throughout', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t);
    const shows = [];
    for (let i = 0; i < 3; i++) shows.push(await Show.open({ ...base, history: 50 }));
    for (const [i, show] of shows.entries()) await show.say([{ user: 'a', text: `before ${i}` }]);
    const from = base.client.events.length;
    const moment = wallMs();
    process.kill(browserOf(base.scraper).pid, 'SIGKILL');
    let slowest = 0;
    const polling = (async () => {
      while (!(await base.scraper.health()).sessions.every((each) => each.state === 'live') || wallMs() - moment < SECOND) {
        const began = performance.now();
        await base.scraper.health();
        slowest = Math.max(slowest, performance.now() - began);
        await sleep(20);
      }
    })();
    for (const show of shows) await breaks(show, moment, from, { noticedMs: SECOND, liveMs: 10 * SECOND }, t);
    await within(15 * SECOND, 'the API', polling);
    t.diagnostic(`slowest answer meanwhile: ${slowest.toFixed(1)} ms`);
    assert.ok(slowest < 1000);
    for (const [i, show] of shows.entries()) {
      await show.say([{ user: 'a', text: `after ${i}` }]);
      assert.deepEqual(texts(show.messages()), [`before ${i}`, `after ${i}`], 'nothing twice');
    }
    assert.equal((await base.scraper.health()).browser.starts, 2);
  });
});

describe('ends and walls', { concurrency: 5 }, () => {
  it('34 the end of a show by frame: told within 2 s, after its last messages', async (t) => {
    const base = await daemon(t, { ENDED_GRACE_MS: '2000' });
    const show = await Show.open({ ...base });
    const moment = wallMs();
    await show.control({ say: [{ user: 'a', text: 'last but one' }, { user: 'b', text: 'the last' }] });
    await show.control({ ended: true });
    const ended = await base.client.seesState(show.sessionId, 'ended');
    t.diagnostic(`${Math.round(ended.at - moment)} ms`);
    assert.ok(ended.at - moment <= 2 * SECOND);
    assert.deepEqual(texts(show.messages()), ['last but one', 'the last']);
    const at = base.client.events.indexOf(ended);
    assert.equal(base.client.events.slice(at).filter((event) => event.type === 'new_message').length, 0, 'messages come first');
    await base.client.seesState(show.sessionId, 'closed', { from: at });
    assert.equal((await base.scraper.health()).activeSessions, 0);
  });

  it('34 the end of a show by document: told within 5 s, after its last messages', async (t) => {
    const base = await daemon(t, { SCRAPER_SOURCE: 'document' });
    const show = await Show.open({ ...base, source: 'document', transport: 'sse' });
    await show.control({ say: [{ user: 'a', text: 'last but one' }, { user: 'b', text: 'the last' }] });
    const moment = wallMs();
    await show.control({ ended: true });
    const ended = await base.client.seesState(show.sessionId, 'ended');
    t.diagnostic(`${Math.round(ended.at - moment)} ms`);
    assert.ok(ended.at - moment <= 5 * SECOND);
    assert.deepEqual(texts(show.messages()), ['last but one', 'the last']);
  });

  it('34 39 discovery goes on to the show with the most viewers', { timeout: 90_000 }, async (t) => {
    const own = await FakeSite.start({ seed: 7 });
    t.after(() => own.stop());
    const base = await daemon(t, own.settings);
    const shows = Array.from({ length: 12 }, (_, i) => `show-${i + 1}`);
    for (const [i, id] of shows.entries()) await own.control({ id, viewers: 100 + i });
    await own.control({ id: 'show-5', viewers: 1200 }); // shown as "1.2K"
    await own.control({ id: 'show-9', viewers: 1199 });
    const first = own.live('show-3');
    const sessionId = await base.scraper.watch(first, { autoDiscover: true });
    await base.scraper.reaches(sessionId, 'live');
    await own.control({ id: 'show-3', ended: true });
    const selected = await base.client.sees((event) => event.type === 'stream_selected' && event.sessionId === sessionId && event.stream.url !== first,
      { what: 'another show', timeoutMs: 30 * SECOND });
    assert.equal(selected.stream.url, own.live('show-5'), '"1.2K" is 1200, and more than 1199');
    // The next one: 1199, since show-5 is being watched already.
    const other = await base.scraper.begin({ sessionId: randomUUID(), autoDiscover: true });
    assert.equal(other.status, 200, other.body);
    assert.equal(other.json.stream.url, own.live('show-9'));
    assert.equal(other.json.stream.source, 'discovered');
  });

  for (const status of [403, 429, 503]) {
    it(`35 a wall with status ${status}: blocked, said so, and left alone`, { timeout: 15 * 60_000 }, async (t) => {
      const own = await FakeSite.start();
      t.after(() => own.stop());
      const base = await daemon(t, own.settings);
      await own.control({ id: 'wall', status });
      const sessionId = await base.scraper.watch(own.live('wall'));
      const session = await base.scraper.reaches(sessionId, 'blocked');
      assert.match(session.reason, new RegExp(String(status)));
      assert.equal(base.client.of('stream_state', sessionId).at(-1).httpStatus, status);
      assert.equal((await own.stats()).live, 1);
      await sleep(long ? 600 * SECOND : 8 * SECOND);
      const loads = (await own.stats()).live;
      t.diagnostic(`${loads} loads`);
      if (long) assert.ok(loads > 1 && loads <= 6, `${loads} loads in ten minutes`);
      else assert.equal(loads, 1, 'the first pause is a minute');
    });
  }

  it('35 behind a wall, the next candidate is tried', async (t) => {
    const base = await daemon(t);
    await site.control({ id: 'walled-off', status: 429 });
    const sessionId = await base.scraper.watch(site.live('walled-off'), { fallbackUrls: [site.live('open-door')] });
    await base.client.seesState(sessionId, 'blocked');
    const selected = await base.client.sees((event) => event.type === 'stream_selected' && event.sessionId === sessionId);
    assert.equal(selected.stream.url, site.live('open-door'));
    assert.equal(selected.stream.source, 'fallback');
    await base.scraper.reaches(sessionId, 'live');
  });

  it('40 rotation after the set silence only; joins and viewers are signs of life', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t, { QUIET_AFTER_MS: '1000', ROTATE_AFTER_MS: '3000' });
    await site.control({ id: 'silent', rate: 0 });
    const sessionId = await base.scraper.watch(site.live('silent'), { fallbackUrls: [site.live('lively')] });
    await base.scraper.reaches(sessionId, ['live', 'quiet']);
    for (let i = 0; i < 8; i++) { // 8 s of signs, each within the 3 s
      await site.control({ id: 'silent', ...(i % 2 ? { viewers: 100 + i } : { say: { user: `n${i}`, kind: 'join' } }) });
      await sleep(SECOND);
    }
    assert.equal((await base.scraper.session(sessionId)).stream.url, site.live('silent'), 'not while there is life');
    const since = wallMs();
    const selected = await base.client.sees((event) => event.type === 'stream_selected' && event.sessionId === sessionId && event.stream.url === site.live('lively'),
      { what: 'the rotation', timeoutMs: 20 * SECOND });
    t.diagnostic(`rotated ${Math.round(selected.at - since)} ms after the last sign`);
    assert.ok(selected.at - since >= 1500, 'not before the silence was long enough');
    assert.ok(selected.at - since <= 10 * SECOND);
    await until('the silent page to be closed', async () => (await site.streamStats('silent')).clients === 0);
  });
});

describe('the daemon', () => {
  it('31 killed with signal 9: no browser after 2 s; the next start sweeps up and resumes', async (t) => {
    const base = await daemon(t);
    const show = await Show.open({ ...base, history: 50 });
    await show.say([{ user: 'a', text: 'before the kill' }]);
    const profiles = base.scraper.leftProfiles();
    assert.equal(profiles.length, 1);
    await base.scraper.kill9();
    const began = performance.now();
    await until('no browser process', () => base.scraper.strayBrowsers().length === 0, { timeoutMs: 2 * SECOND });
    t.diagnostic(`no process left after ${Math.round(performance.now() - began)} ms`);

    await show.control({ say: { user: 'a', text: 'while it was away' } });
    await base.scraper.start();
    show.client = await base.scraper.client();
    await base.scraper.reaches(show.sessionId, 'live');
    assert.ok(!base.scraper.leftProfiles().includes(profiles[0]), 'the dead run\'s profile is gone');
    await show.control({ say: { user: 'a', text: 'after the start' } });
    await until('the newest message', () => texts(show.messages()).includes('after the start'));
    assert.deepEqual(texts(show.messages()), ['while it was away', 'after the start'], 'the gap is filled, nothing comes twice');
  });

  it('31 ended by TERM: clean within 5 s, what was captured is kept', async (t) => {
    const base = await daemon(t);
    const show = await Show.open({ ...base, history: 50 });
    await show.say([{ user: 'a', text: 'kept' }]);
    const began = performance.now();
    const ended = await base.scraper.child.stop('SIGTERM');
    const took = performance.now() - began;
    t.diagnostic(`${Math.round(took)} ms`);
    assert.equal(ended.code, 0, ended.text.slice(-2000));
    assert.ok(took <= 5 * SECOND, `${took} ms`);
    assert.deepEqual(base.scraper.strayBrowsers(), []);
    assert.deepEqual(base.scraper.leftProfiles(), []);
    assert.equal(base.client.closed.code, 1001);
    await base.scraper.start();
    assert.equal((await base.scraper.health()).outbox.pending, 1);
    assert.equal((await base.scraper.health()).activeSessions, 1, 'and what was watched is watched again');
  });

  it('32 start and stop, again and again: nothing is left', { timeout: 20 * 60_000 }, async (t) => {
    const cycles = long ? 200 : 20;
    const base = await daemon(t, { NAVIGATION_GAP_MS: '0' });
    const cycle = async (i) => {
      const sessionId = await base.scraper.watch(site.live(`cycle-${i % 4}`));
      const answer = await base.scraper.unwatch(sessionId);
      assert.deepEqual([answer.status, answer.json.status], [200, 'stopped']);
    };
    for (let i = 0; i < 4; i++) await cycle(i); // what the browser keeps once it was used
    await settles(base.scraper);
    const files = fs.readdirSync(`/proc/${base.scraper.pid}/fd`).length;
    for (let i = 0; i < cycles; i += 2) await Promise.all([cycle(i), cycle(i + 1)]);
    await settles(base.scraper);
    await until('no zombie', () => { // Chromium's own processes reap theirs when they come to it
      const zombies = descendants(base.scraper.pid).filter((each) => each.state === 'Z');
      if (zombies.length) throw new Error(JSON.stringify(zombies));
      return true;
    });
    assert.equal(base.scraper.leftProfiles().length, 1);
    const now = fs.readdirSync(`/proc/${base.scraper.pid}/fd`).length;
    assert.ok(now <= files + 2, `descriptors: ${files} -> ${now}`);
    assert.equal(await base.scraper.metric('dealflow_scraper_strays_closed_total'), 0, 'no page without a session');
    for (let i = 0; i < 4; i++) assert.equal((await site.streamStats(`cycle-${i}`)).clients, 0);
    t.diagnostic(`${cycles} cycles, ${now} descriptors, ${descendants(base.scraper.pid).length} processes`);
  });

  // No session, no page: every renderer but a spare one ends.
  async function settles(scraper) {
    await until('the pages to be gone', async () => (await scraper.health()).activeSessions === 0 && renderers(scraper).length <= 1, { timeoutMs: 15 * SECOND });
  }

  it('zombies of others: orphans of the browser are reaped by the daemon', async (t) => {
    const base = await daemon(t);
    await Show.open({ ...base });
    process.kill(browserOf(base.scraper).pid, 'SIGKILL'); // its children become ours
    await until('a new browser', async () => (await base.scraper.health()).browser.starts === 2);
    await until('no zombie', () => allProcesses().filter((each) => each.ppid === base.scraper.pid && each.state === 'Z').length === 0);
  });

  it('--probe says what it would read and saves a picture', async () => {
    const scraper = new Scraper({ site });
    try {
      await site.control({ id: 'probe', rate: 20 });
      const probe = await run(scraper.program, ['--probe', site.live('probe')], { cwd: scraper.dir, env: { ...process.env, ...scraper.env, PORT: '0' } });
      await site.control({ id: 'probe', rate: 0 });
      assert.equal(probe.code, 0, probe.text);
      assert.match(probe.stdout, /^source: +frames$/m);
      assert.match(probe.stdout, /^strategy: +\S/m);
      assert.match(probe.stdout, /^messages: +10 read$/m);
      const picture = probe.stdout.match(/^picture: +(\S+)$/m)[1];
      const bytes = fs.readFileSync(path.resolve(scraper.dir, picture));
      assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
      assert.deepEqual(scraper.leftProfiles(), []);
    } finally {
      await scraper.stop();
    }
  });
});

describe('recycling', () => {
  it('a page replaced by a fresh one loses and repeats nothing', { timeout: 120_000 }, async (t) => {
    const base = await daemon(t, { RECYCLE_AFTER_MS: '10000' });
    const shows = [await Show.open({ ...base, history: 50 }), await Show.open({ ...base, variant: 'C', history: 50 })];
    const opened = (await site.stats()).live;
    const results = await Promise.all(shows.map((show) => show.chat(10, 20, { from: 'sent' })));
    assert.ok((await site.stats()).live >= opened + 2, 'both were replaced');
    for (const result of results) {
      t.diagnostic(`${figures(result)}, p99 ${percentile(result.latencies, 0.99).toFixed(1)} ms`);
      complete(result, { atLeast: 150 });
    }
    for (const show of shows) assert.equal((await site.streamStats(show.id)).clients, 1);
  });
});
