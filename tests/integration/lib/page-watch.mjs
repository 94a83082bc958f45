// A page of the stand-in site with the daemon's script in it, and the daemon's judgement of what that
// reports (the program page_judge): what would be told to clients, without the daemon around it.
import { spawn, execFileSync } from 'node:child_process';
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { score } from './fakestream.mjs';
import { until } from './wait.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const program = path.resolve(root, process.env.DF_BUILD_DIR || `build/${process.env.DF_PRESET || 'debug'}`, 'bin/page_judge');
const rules = path.join(root, 'scraper/page/rules.json');
const printed = (option) => execFileSync(program, [option, rules], { encoding: 'utf8' });

export const pageScript = printed('--script');
export const discoverScript = printed('--discover');
export const squeeze = (text) => text.replace(/[\s\u00a0]+/g, ' ').trim();

class Judge {
  constructor() {
    this.child = spawn(program, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.waiting = [];
    let rest = '';
    this.child.stdout.setEncoding('utf8').on('data', (piece) => {
      const lines = (rest + piece).split('\n');
      rest = lines.pop();
      for (const line of lines) this.waiting.shift()(JSON.parse(line));
    });
  }

  take(letter, payload) {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.child.stdin.write(`${letter}${payload}\n`);
    });
  }
}

export class Watch {
  // query: of the page's address. sources: letters of what is judged, D document, P polling, F frames.
  static async open({ browser, site, id, query = '', sources = 'D', script = pageScript, url = `${site.live(id)}?${query}` }) {
    const watch = new Watch();
    Object.assign(watch, { site, id, sources });
    watch.judge = new Judge();
    watch.page = await browser.open(script);
    watch.results = []; // what page_judge answered
    watch.captured = []; // new lines: {username, message, kind, role, at}
    watch.page.onReport = ({ payload, at }) => watch.take(sources.includes('P') ? 'P' : 'D', payload, at);
    watch.page.onFrame = ({ payload, at }) => sources.includes('F') && watch.take('F', payload, at);
    await watch.page.navigate(url);
    return watch;
  }

  async take(letter, payload, at) {
    const result = await this.judge.take(letter, payload);
    this.results.push({ ...result, payload });
    if (letter !== 'F' && !/[DP]/.test(this.sources)) return;
    for (const [username, message, kind, role, isNew] of result.lines) {
      if (isNew) this.captured.push({ username, message, kind, role, at });
    }
  }

  get chat() {
    return this.captured.filter((line) => line.kind === 'chat');
  }

  strategy() {
    return this.results.findLast((result) => result.type === 'found')?.strategy;
  }

  count(type) {
    return this.results.filter((result) => result.type === type).length;
  }

  facts() {
    return this.results.findLast((result) => result.type === 'facts')?.facts;
  }

  // Has its page shown the last message that was sent?
  async isShown() {
    const { messages } = await this.site.truth(this.id);
    const last = messages.at(-1);
    return messages.length > 0 && Object.keys(last.shown).length > 0 && messages;
  }

  async says(lines) {
    const before = this.captured.length;
    await this.site.control({ id: this.id, say: lines });
    await until(`${lines.length} lines`, () => this.captured.length >= before + lines.length, { timeoutMs: 5000 });
    return this.captured.slice(before);
  }

  // Stops the chat, waits until all that was shown is here and asserts that nothing else is.
  async exact(what) {
    await this.site.control({ id: this.id, rate: 0 });
    await until(`${what}: the last message on the page`, () => this.isShown());
    const judged = async () => score(await this.site.truth(this.id), this.chat);
    await until(`${what}: all messages`, async () => (await judged()).missed === 0, { timeoutMs: 5000 }).catch(() => {});
    const figures = await judged();
    delete figures.latencies;
    const why = `${what}: ${JSON.stringify(figures)}`;
    assert.ok(figures.expected > 10, why);
    assert.deepEqual([figures.missed, figures.duplicates, figures.bogus, figures.out_of_order], [0, 0, 0, 0], why);
    assert.equal(this.count('malformed'), 0);
    return figures;
  }

  async close() {
    assert.deepEqual(await this.page.evaluate('dealflow.faults'), []);
    this.judge.child.stdin.end();
    await this.page.close();
  }
}
