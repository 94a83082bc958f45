// A client that behaves as the scraper does: every message has an id of its own and is sent again
// until it is answered 200. It remembers each answer, so that afterwards the database can be held
// against what was promised.
import { randomUUID } from 'node:crypto';
import { keepAlive, request } from './http.mjs';
import { sleep } from './wait.mjs';

// Answers that will not change by asking again.
const FINAL = new Set([400, 401, 403, 404, 405, 409, 413]);

export class Load {
  // url: the function. token: for every request. session: who is written to.
  // make(n): the text of message n. retry: false sends each message once, without an id.
  constructor({ url, token, session, connections = 16, make = (n) => `load message ${n}`, retry = true }) {
    this.url = url;
    this.headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    this.session = session;
    this.connections = connections;
    this.make = make;
    this.retry = retry;
    this.agent = keepAlive(connections);
    this.next = 0;
    this.stopping = false;
    this.answered = []; // {n, id, text, body, at}: every 200
    this.others = new Map(); // status or error name -> how often
    this.refused = []; // final answers that were no 200
    this.unanswered = []; // {n, id, text}: the outcome is not known
  }

  start() {
    this.began = performance.now();
    this.loops = Array.from({ length: this.connections }, () => this.loop());
    return this;
  }

  async loop() {
    while (!this.stopping) {
      const n = this.next++;
      await this.deliver({ n, id: randomUUID(), text: this.make(n) });
    }
  }

  async deliver(message) {
    const body = JSON.stringify({
      message: message.text,
      username: `viewer_${message.n % 50}`,
      streamSessionId: this.session,
      ...(this.retry ? { messageId: message.id } : {}),
    });
    for (;;) {
      let outcome;
      try {
        const answer = await request(this.url, {
          method: 'POST', headers: this.headers, body, agent: this.agent, timeoutMs: 20_000,
        });
        if (answer.status === 200) {
          this.answered.push({ ...message, body: answer.body, at: performance.now(), ms: answer.ms });
          return;
        }
        outcome = answer.status;
        if (FINAL.has(answer.status)) {
          this.refused.push({ ...message, status: answer.status, body: answer.body });
          return;
        }
      } catch (error) {
        outcome = error.code ?? error.message;
      }
      this.others.set(outcome, (this.others.get(outcome) ?? 0) + 1);
      if (!this.retry || this.abandoned) {
        this.unanswered.push({ ...message, outcome });
        return;
      }
      await sleep(10); // what the caller does between two tries, not a wait for something
    }
  }

  // Ends after every message begun was answered; after `graceMs` the rest counts as unanswered.
  async stop(graceMs = 30_000) {
    this.stopping = true;
    const hammer = setTimeout(() => {
      this.abandoned = true;
    }, graceMs);
    await Promise.all(this.loops);
    clearTimeout(hammer);
    this.agent.destroy();
    this.seconds = (performance.now() - this.began) / 1000;
    return this;
  }

  // When the first 200 came after a moment (performance.now()), in ms; undefined when none did.
  firstAnswerAfter(moment) {
    const later = this.answered.filter((each) => each.at >= moment).map((each) => each.at);
    return later.length ? Math.min(...later) - moment : undefined;
  }

  summary() {
    const others = [...this.others].map(([what, n]) => `${what}: ${n}`).join(', ');
    return `${this.answered.length} answered 200, ${this.unanswered.length} unanswered, retried after {${others}}`;
  }
}
