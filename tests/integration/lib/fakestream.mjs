// The stand-in stream site (tests/fakestream) as a process of its own, and the scorer.
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child } from './process.mjs';
import { request } from './http.mjs';
import { freePort } from './wait.mjs';

const folder = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../fakestream');
export const { score, percentile } = createRequire(import.meta.url)(path.join(folder, 'score.js'));

// Wall clock with fractions of a millisecond, as the site and its pages stamp.
export const wallMs = () => performance.timeOrigin + performance.now();

export class FakeSite {
  // variants: a folder of further ways to draw the chat. seed: of the generated chat.
  static async start({ variants, seed = 1 } = {}) {
    const site = new FakeSite();
    site.port = await freePort();
    site.host = `127.0.0.1:${site.port}`;
    site.url = `http://${site.host}`;
    const more = variants ? ['--variants', variants] : [];
    site.child = new Child(process.execPath,
      [path.join(folder, 'server.js'), '--port', String(site.port), '--seed', String(seed), ...more]);
    await site.child.sees(/fakestream on /);
    return site;
  }

  // The settings of a daemon that may open it.
  get settings() {
    return {
      SCRAPER_ALLOWED_HOSTS: this.host, SCRAPER_ALLOW_PRIVATE: 'on', SCRAPER_BASE_URL: `${this.url}/`,
    };
  }

  live(id) {
    return `${this.url}/live/${id}`;
  }

  // What tests/fakestream/README.md calls control: {id, rate, burst, say, ...}.
  async control(what) {
    const answer = await request(`${this.url}/control`, { method: 'POST', body: JSON.stringify(what) });
    const body = JSON.parse(answer.body);
    if (!body.ok) throw new Error(`fakestream: ${body.error}`);
    return body;
  }

  async get(where) {
    return JSON.parse((await request(this.url + where)).body);
  }

  truth(id) {
    return this.get(`/truth/${encodeURIComponent(id)}`);
  }

  stats() {
    return this.get('/stats');
  }

  // {clients: pages that hold its socket open, seq: messages so far, cfg}
  async streamStats(id) {
    return (await this.stats()).streams.find((each) => each.id === id) ?? { clients: 0, seq: 0, cfg: {} };
  }

  async stop() {
    await this.child.stop();
  }
}
