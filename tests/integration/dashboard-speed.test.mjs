// How fast the dashboard shows a line, and how smooth it stays in a busy chat: the real box, a real
// browser, the stand-in stream site. With DF_LONG=1 and the release build (DF_PRESET=release); about
// seven minutes. DF_MINUTES: of the busy chat, 5 unless set.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { Box, Desk } from './lib/dashboard.mjs';
import { percentile, score } from './lib/fakestream.mjs';
import { sanitized } from './lib/program.mjs';
import { long, releaseBinary } from './lib/scraper.mjs';
import { sleep, until } from './lib/wait.mjs';

const MIB = 1024 * 1024;
const why = long ? sanitized && 'the release build' : 'DF_LONG=1';

// Writes down when each new line of the feed was on the screen, as epoch milliseconds.
function recordLines(from) {
  return from.evaluate(() => {
    window.seen = [];
    const now = () => performance.timeOrigin + performance.now();
    new MutationObserver((changes) => {
      const lines = changes.flatMap((change) => [...change.addedNodes]).filter((node) => node.classList?.contains('line'));
      if (lines.length === 0) return;
      // Put into the document before this frame is drawn; a task after it, the frame is out.
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => {
          for (const line of lines) window.seen.push({ username: line.querySelector('b').textContent, message: line.querySelector('.line-text').textContent, at: now() });
        };
        channel.port2.postMessage(0);
      });
    }).observe(document.querySelector('.lines'), { childList: true });
  });
}

describe('speed', { skip: why }, () => {
  let box;
  let page;
  let desk;
  let show;

  before(async () => {
    box = await Box.start({ scraper: releaseBinary });
    desk = await Desk.open(box);
    page = desk.page;
    show = await desk.watch('fast-show', { history: 0, profile: 'plain' });
    await recordLines(page);
  });
  after(async () => box?.stop());

  test('shown on the page to visible in the dashboard, at 20 lines a second', async () => {
    await box.site.control({ id: 'fast-show', rate: 20 });
    await sleep(5000); // warm
    const since = Date.now();
    await sleep(60_000);
    const end = Date.now();
    await sleep(3000);
    await box.site.control({ id: 'fast-show', rate: 0 });
    const captured = await page.evaluate(() => window.seen);
    const result = score(await box.site.truth('fast-show'), captured, { since, until: end });
    const all = [...result.latencies].sort((a, b) => a - b);
    const [p50, p95, p99] = [0.5, 0.95, 0.99].map((p) => percentile(all, p));
    console.log(`latency over ${all.length} lines: p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; recall ${result.recall}`);
    assert.ok(all.length > 1000);
    assert.equal(result.recall, 1);
    assert.equal(result.duplicates, 0);
    assert.ok(p50 <= 50, `p50 ${p50} ms`);
    assert.ok(p95 <= 150, `p95 ${p95} ms`);
  });

  test('fifty lines a second for five minutes: smooth, quick to the hand, no growth', async () => {
    const minutes = Number(process.env.DF_MINUTES ?? 5);
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Performance.enable');
    await cdp.send('HeapProfiler.enable');
    const heap = async () => {
      await cdp.send('HeapProfiler.collectGarbage');
      const { metrics } = await cdp.send('Performance.getMetrics');
      return metrics.find((each) => each.name === 'JSHeapUsedSize').value / MIB;
    };
    await page.evaluate(() => {
      window.seen = { push() {} };
      window.frames_ = [];
      window.inputs = [];
      requestAnimationFrame(function step(at) {
        window.frames_.push(at);
        requestAnimationFrame(step);
      });
      for (const type of ['keydown', 'pointerdown', 'wheel', 'input']) {
        addEventListener(type, (event) => window.inputs.push([type, performance.now() - event.timeStamp]), { capture: true, passive: true });
      }
    });
    await box.site.control({ id: 'fast-show', rate: 50, profile: 'mix' });
    const search = desk.panel(show).getByRole('searchbox');
    const began = Date.now();
    const heaps = [];
    for (let second = 0; Date.now() - began < minutes * 60_000; second++) {
      // A hand at work: types and empties a search, scrolls up, goes back to live.
      const step = second % 6;
      if (step === 0) await search.pressSequentially('mine');
      else if (step === 1) await search.press('Escape');
      else if (step === 3) {
        await desk.panel(show).getByRole('log').hover();
        await page.mouse.wheel(0, -400);
      } else if (step === 4) await desk.panel(show).locator('.to-live').click({ timeout: 5000 });
      if (second % 15 === 14) heaps.push([(Date.now() - began) / 60_000, await heap()]);
      await sleep(Math.max(0, began + (second + 1) * 1000 - Date.now()));
    }
    await box.site.control({ id: 'fast-show', rate: 0 });
    const { frames, inputs } = await page.evaluate(() => ({ frames: window.frames_, inputs: window.inputs }));
    const perSecond = [];
    for (const at of frames) perSecond[Math.floor((at - frames[0]) / 1000)] = (perSecond[Math.floor((at - frames[0]) / 1000)] ?? 0) + 1;
    const whole = [...perSecond.slice(0, -1)].map((n) => n ?? 0).sort((a, b) => a - b);
    const median = whole[whole.length >> 1];
    const latest = Math.max(...inputs.map(([, ms]) => ms));
    const mean = (from, to) => {
      const some = heaps.filter(([at]) => at >= from && at < to).map(([, mib]) => mib);
      return some.reduce((sum, mib) => sum + mib, 0) / some.length;
    };
    const [early, late] = [mean(1, 2), mean(minutes - 1, minutes + 1)];
    const sent = (await box.site.truth('fast-show')).messages.filter((each) => each.sent_at >= began).length;
    const chat = (await box.site.truth('fast-show')).messages.filter((each) => each.kind === 'chat').length;
    await until(`${chat} lines to be stored`, async () => (await box.stored(show)) >= chat, { timeoutMs: 60_000, everyMs: 500 });
    const lines = await box.stored(show);
    console.log(`${lines} lines stored; frames a second: median ${median}, 5th percentile ${percentile(whole, 0.05)}, least ${whole[0]}; ` +
      `${inputs.length} inputs, p99 ${percentile(inputs.map(([, ms]) => ms), 0.99).toFixed(1)} ms, latest ${latest.toFixed(1)} ms; heap ${early.toFixed(1)} MiB in the second minute, ${late.toFixed(1)} MiB in the last`);
    assert.ok(sent >= minutes * 60 * 50 * 0.95, `${sent} rows sent`); // joins and announcements are no chat
    assert.ok(median >= 50, `median ${median} frames a second`);
    assert.ok(inputs.length > minutes * 60, `${inputs.length} inputs`);
    assert.ok(latest <= 100, `an input was handled after ${latest} ms`);
    if (minutes >= 3) assert.ok(Math.abs(late - early) <= early * 0.2, `heap ${early} MiB, then ${late} MiB`);
    assert.deepEqual(page.errors, []);
  });
});
