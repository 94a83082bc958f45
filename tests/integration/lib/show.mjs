// One stream of the stand-in site, watched by one session of a daemon, and what a client heard of it.
import assert from 'node:assert/strict';
import { score, wallMs } from './fakestream.mjs';
import { sleep, until } from './wait.mjs';

const OPENER = 'opener';
const FIRST_ROWS = ['hi', 'hello all', 'first time here', 'good evening', 'what is up next', 'ready']
  .map((text) => ({ user: OPENER, text }));
let made = 0;

export class Show {
  // site, scraper, client: who takes part. cfg: the stream's settings (variant, transport, profile, ...).
  // source: the one that must give the chat. start: more keys of start-monitoring.
  constructor({ site, scraper, client, id = `show-${process.pid}-${++made}`, source = 'frames', start = {}, ...cfg }) {
    Object.assign(this, { site, scraper, client, id, source, start });
    this.cfg = { variant: 'A', transport: 'ws', profile: 'mix', history: 15, ...cfg };
    this.url = site.live(id);
  }

  static async open(options) {
    return new Show(options).open();
  }

  async open() {
    await this.control(this.cfg);
    // An empty list is no source yet, and rows without any marks are only known by their likeness: a
    // reader of the document gets some to begin with.
    if (this.source !== 'frames') await this.control({ say: FIRST_ROWS });
    this.sessionId = await this.scraper.watch(this.url, this.start);
    await this.live();
    this.since = wallMs();
    return this;
  }

  // Waits until the session reads its chat from where it should.
  live(options) {
    return this.scraper.reaches(this.sessionId, ['live', 'quiet'], { source: this.source, ...options });
  }

  control(what) {
    return this.site.control({ id: this.id, ...what });
  }

  async close() {
    const answer = await this.scraper.unwatch(this.sessionId);
    assert.equal(answer.status, 200, answer.body);
  }

  // What the client heard; a client that was closed hears nothing and would blame the wrong one.
  messages() {
    assert.equal(this.client.closed, undefined, 'the WebSocket client was closed');
    return this.client.messages(this.sessionId).filter((each) => each.username !== OPENER);
  }

  truth() {
    return this.site.truth(this.id);
  }

  async score(options = {}) {
    return score(await this.truth(), this.messages(), { since: this.since, expect: this.source === 'frames' ? 'sent' : 'shown', ...options });
  }

  // Lets it chat at `rate` for so long, then waits for the last messages. Returns the score.
  async chat(rate, seconds, options) {
    this.since = wallMs();
    await this.control({ rate });
    await sleep(seconds * 1000);
    await this.control({ rate: 0 });
    return this.settled(options);
  }

  // Waits until nothing is missing of at least so many messages (or `patienceMs` are over) and then a
  // moment for what should not come.
  async settled({ patienceMs = 5000, atLeast = 1, ...options } = {}) {
    await sleep(300); // the pages tell every 250 ms what they showed
    await until('the last messages', async () => {
      const { expected, missed } = await this.score(options);
      return expected >= atLeast && missed === 0;
    }, { timeoutMs: patienceMs, everyMs: 100 }).catch(() => {});
    await sleep(500);
    return this.score(options);
  }

  // Has these lines said and returns what was reported for them, in order: as many, and then a moment
  // for what should not come.
  async say(lines, { wanted = lines.length, timeoutMs = 8000 } = {}) {
    const before = this.messages().length;
    await this.control({ say: lines });
    await until(`${wanted} messages of ${this.id}`, () => this.messages().length >= before + wanted, { timeoutMs })
      .catch((error) => {
        throw new Error(`${error.message}; got ${JSON.stringify(this.messages().slice(before).map((each) => each.message)).slice(0, 600)}`);
      });
    await sleep(300);
    return this.messages().slice(before);
  }
}

export const figures = (result) =>
  `expected ${result.expected}, recall ${result.recall.toFixed(4)}, precision ${result.precision.toFixed(4)}, ` +
  `duplicates ${result.duplicates}, out of order ${result.out_of_order}`;

// Holds a score against the limits; says what was missed, invented or repeated.
export function complete(result, { recall = 1, precision = 1, order = true, atLeast = 1, what = '' } = {}) {
  const { latencies, ...shown } = result;
  const talk = `${what} ${JSON.stringify(shown)}`;
  assert.ok(result.expected >= atLeast, `too little chat to judge: ${talk}`);
  assert.ok(result.recall >= recall, `recall below ${recall}: ${talk}`);
  assert.ok(result.precision >= precision, `precision below ${precision}: ${talk}`);
  assert.equal(result.duplicates, 0, `reported twice: ${talk}`);
  if (order) assert.equal(result.out_of_order, 0, `out of order: ${talk}`);
}
