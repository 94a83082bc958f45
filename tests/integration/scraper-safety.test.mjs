// What pages may cost, what they may not do, where the browser may not go, and what must not get lost:
// resources, ports, addresses, forgeries, hostile bytes, delivery while everything breaks. The numbers
// are those of the acceptance list; DF_LONG=1 takes the full times.
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { FakeSite, score, wallMs } from './lib/fakestream.mjs';
import { Scraper, long } from './lib/scraper.mjs';
import { Show, complete, figures } from './lib/show.mjs';
import { listening } from './lib/proctree.mjs';
import { run } from './lib/process.mjs';
import { startPostgres } from './lib/postgres.mjs';
import { startSystem, temporaryFolder, SESSION } from './lib/system.mjs';
import { sleep, until } from './lib/wait.mjs';

const SECOND = 1000;
const texts = (messages) => messages.map((each) => each.message);
const asRoot = process.getuid() === 0;
const SHELL = '/usr/lib/chromium/chromium-headless-shell';

let site;
before(async () => {
  site = await FakeSite.start();
});
after(() => site?.stop());

async function daemon(t, env, options) {
  const scraper = await Scraper.start({ site, env, ...options });
  t.after(() => scraper.stop());
  return { site, scraper, client: await scraper.client() };
}

// A program of a test's own in place of the browser.
function script(dir, name, lines) {
  const file = path.join(dir, name);
  fs.writeFileSync(file, `#!/bin/bash\n${lines}\n`, { mode: 0o755 });
  return file;
}

// A control group with this much memory, of whichever version the machine has; undefined without one.
function memoryGroup(bytes) {
  for (const [parent, limit] of [['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'], ['/sys/fs/cgroup', 'memory.max']]) {
    if (!fs.existsSync(path.join(parent, 'cgroup.procs'))) continue;
    const group = `${parent}/dealflow-test-${process.pid}`;
    try {
      fs.mkdirSync(group);
      fs.writeFileSync(path.join(group, limit), String(bytes));
      return group;
    } catch {
      if (fs.existsSync(group)) fs.rmdirSync(group);
    }
  }
  return undefined;
}

describe('resources and ports', () => {
  it('41 images, fonts and media are not loaded, scripts and styles are', async (t) => {
    const own = await FakeSite.start();
    t.after(() => own.stop());
    const base = await daemon(t, own.settings);
    const frames = await Show.open({ ...base, site: own });
    await frames.chat(10, 3);
    const { image = 0, font = 0, media = 0, script: scripts = 0, stylesheet = 0 } = await own.stats();
    assert.deepEqual({ image, font, media }, { image: 0, font: 0, media: 0 });
    assert.ok(scripts >= 1 && stylesheet >= 1, `scripts ${scripts}, style sheets ${stylesheet}`);
  });

  it('41 the same for a page that is drawn and read by its document', async (t) => {
    const own = await FakeSite.start();
    t.after(() => own.stop());
    const base = await daemon(t, { ...own.settings, SCRAPER_SOURCE: 'document', SCRAPER_DRAW: 'always' });
    const show = await Show.open({ ...base, site: own, source: 'document', variant: 'C', profile: 'unicode' });
    await show.chat(10, 3);
    const { image = 0, font = 0, media = 0 } = await own.stats();
    assert.deepEqual({ image, font, media }, { image: 0, font: 0, media: 0 });
  });

  it('42 the browser listens nowhere, the API on loopback only', async (t) => {
    const base = await daemon(t, { BIND: null });
    await Show.open({ ...base });
    const browsers = base.scraper.browserProcesses().map((each) => each.pid);
    assert.ok(browsers.length >= 3, 'browser, zygote, renderer');
    assert.deepEqual(listening(browsers), []);
    assert.deepEqual(listening([base.scraper.pid]), [`127.0.0.1:${base.scraper.env.PORT}`]);
    for (const each of browsers) {
      const command = fs.readFileSync(`/proc/${each}/cmdline`, 'utf8');
      assert.doesNotMatch(command, /--remote-debugging-(port|address)/);
    }
  });

  it('48 small shared memory and 512 MB: two tabs run, or the start is refused with a reason', { timeout: 2 * 3600 * SECOND, skip: asRoot ? false : 'needs root to make a mount namespace' }, async (t) => {
    const group = memoryGroup(512 << 20);
    if (!group) t.diagnostic('no memory limit can be set here');
    const enter = group ? `echo $$ > ${group}/cgroup.procs && ` : '';
    const scraper = await Scraper.start({
      site, launch: (file) => ['unshare', ['--mount', 'sh', '-c', `${enter}mount -t tmpfs -o size=64m,mode=1777 tmpfs /dev/shm && exec "$0"`, file]],
    });
    t.after(async () => {
      await scraper.stop();
      if (group) fs.rmdirSync(group);
    });
    const client = await scraper.client();
    const shows = [await Show.open({ site, scraper, client }), await Show.open({ site, scraper, client, variant: 'F' })];
    const results = await Promise.all(shows.map((show) => show.chat(5, long ? 3600 : 8)));
    for (const result of results) complete(result, { atLeast: 25 });
    assert.equal((await scraper.health()).browser.starts, 1, 'nothing crashed meanwhile');
  });

  it('50 only commands that read are sent', async (t) => {
    const dir = temporaryFolder('tap');
    t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
    const log = path.join(dir, 'commands');
    const tap = script(dir, 'tapped-browser', `exec ${SHELL} "$@" 3< <(exec tee ${log} <&3)`);
    const base = await daemon(t, { CHROME_EXECUTABLE_PATH: tap, DEALFLOW_SAVE_SCREENSHOT: 'true' });
    const shows = [await Show.open({ ...base })];
    for (const variant of ['A', 'F']) {
      shows.push(new Show({ ...base, source: 'document', transport: 'sse', variant }));
      await shows.at(-1).control(shows.at(-1).cfg);
      shows.at(-1).sessionId = await base.scraper.watch(shows.at(-1).url);
    }
    await Promise.all(shows.map((show) => show.control({ burst: 5, welcome: true })));
    await shows[1].live({ timeoutMs: 30 * SECOND });
    assert.equal((await base.scraper.get(`/api/screenshot/${shows[0].sessionId}`)).status, 200);
    await shows[0].close();
    const sent = fs.readFileSync(log, 'utf8').split('\0').filter(Boolean).map((text) => JSON.parse(text));
    const methods = new Set(sent.map((each) => each.method));
    t.diagnostic([...methods].sort().join(' '));
    assert.ok(methods.has('Page.navigate') && methods.has('Network.enable'), 'the tap works');
    const acting = /^(Input|Autofill|WebAuthn|Storage|IndexedDB|DOMStorage|CacheStorage|Debugger|Overlay|Cast|FedCm|DOM|CSS)\.|Cookie|Override(?!$)|setBypassCSP|dispatch|\.set(Timezone|Locale|Geolocation)|setUserAgentOverride|setExtraHTTPHeaders|fulfillRequest|continueWithAuth/;
    assert.deepEqual([...methods].filter((method) => acting.test(method)), []);
    // What runs inside pages is ours, in a world of its own, and does not touch the page either.
    for (const { method, params } of sent) {
      if (method === 'Page.addScriptToEvaluateOnNewDocument') {
        assert.ok(params.worldName, 'an isolated world');
        assert.doesNotMatch(params.source, /\.click\(|\.submit\(|dispatchEvent|\.value\s*=[^=]|webdriver/);
      }
    }
  });
});

describe('addresses', () => {
  const UUID = randomUUID();

  it('43 other hosts, schemes and spellings are refused', async (t) => {
    const base = await daemon(t, { SCRAPER_ALLOWED_HOSTS: null, SCRAPER_ALLOW_PRIVATE: null, SCRAPER_BASE_URL: null });
    const refused = [
      'https://evil.example/live/1', 'https://whatnot.com.evil.example/live/1', 'https://notwhatnot.com/live/1',
      'https://evil.example/?whatnot.com', 'https://evil.example/whatnot.com/live/1', 'https://evil.example/#whatnot.com',
      'https://whatnot.com@evil.example/live/1', 'https://user:secret@whatnot.com/live/1', 'https://user@whatnot.com/live/1',
      'http://whatnot.com/live/1', 'ftp://whatnot.com/live/1', 'file:///etc/passwd', 'file://whatnot.com/etc/passwd',
      'javascript:alert(1)//whatnot.com', 'data:text/html,whatnot.com', 'chrome://version', 'about:blank', 'view-source:https://whatnot.com/',
      'ws://whatnot.com/', 'blob:https://whatnot.com/x', '//whatnot.com/live/1', 'whatnot.com/live/1', 'https://', 'https:', '', ' ', 'https://whatnot.com\\@evil.example/',
      'https://whatnot.com%2eevil.example/', 'https://whatnot.com\u3002evil.example/live/1', 'https://whatnot\u200b.com/live/1', 'https://whаtnot.com/live/1',
      'https://127.0.0.1/live/1', 'https://localhost/live/1', 'https://[::1]/live/1', 'https://2130706433/', 'https://0x7f.1/', 'https://0177.0.0.1/',
      'https://[::ffff:127.0.0.1]/', 'https://169.254.169.254/latest/meta-data', 'https://10.0.0.1/', 'https://192.168.1.1/', 'https://whatnot.com\n.evil.example/',
    ];
    for (const url of refused) {
      const { status, json, body } = await base.scraper.begin({ url, sessionId: UUID });
      assert.equal(status, 400, `${JSON.stringify(url)}: ${status} ${body}`);
      assert.deepEqual(json, { error: 'Invalid Whatnot URL' }, JSON.stringify(url));
    }
    for (const url of [undefined, null, 7, {}, [], true]) {
      assert.equal((await base.scraper.begin({ url, sessionId: UUID })).status, 400, JSON.stringify(url));
    }
    const fallback = await base.scraper.begin({ url: 'https://evil.example/', fallbackUrls: ['https://whatnot.com/live/1'], sessionId: UUID });
    assert.equal(fallback.status, 400);
    assert.equal((await base.scraper.health()).activeSessions, 0);
    assert.equal((await base.scraper.health()).browser.starts, 0, 'not even a browser was started');
  });

  it('43 with other allowed hosts, the error names them', async (t) => {
    const base = await daemon(t);
    const { status, json } = await base.scraper.begin({ url: 'https://evil.example/live/1', sessionId: UUID });
    assert.equal(status, 400);
    assert.match(json.error, new RegExp(`${site.host.replace(/\./g, '\\.')}`));
    assert.equal((await base.scraper.begin({ url: `http://127.0.0.1:${site.port + 1}/live/1`, sessionId: UUID })).status, 400, 'another port');
  });

  // Where a page leads is judged like the address that was asked for.
  async function elsewhere(t, { lead }) {
    const asked = [];
    const secret = http.createServer((request, response) => {
      asked.push(request.url);
      response.setHeader('content-type', 'text/html');
      response.end('<ol role="log"><li><a href="/user/spy">spy</a>: internal secret</li></ol>');
    });
    await new Promise((resolve) => secret.listen(0, '127.0.0.1', resolve));
    t.after(() => { secret.closeAllConnections?.(); secret.close(); });
    const target = `http://127.0.0.1:${secret.address().port}/internal`;
    const door = http.createServer((request, response) => lead(request, response, target));
    await new Promise((resolve) => door.listen(0, '127.0.0.1', resolve));
    t.after(() => { door.closeAllConnections?.(); door.close(); });
    const host = `127.0.0.1:${door.address().port}`;
    const base = await daemon(t, { SCRAPER_ALLOWED_HOSTS: host, SCRAPER_BASE_URL: `http://${host}/`, START_WAIT_MS: '6000' });
    const sessionId = randomUUID();
    await base.scraper.begin({ url: `http://${host}/live/x`, sessionId });
    return { base, sessionId, asked };
  }

  async function staysAway({ base, sessionId, asked }, t, { frame = false } = {}) {
    await sleep(1500); // a page that was let through would have been read by now
    if (!frame) assert.deepEqual(asked, [], 'nothing was asked of the other server');
    assert.deepEqual(base.client.messages(sessionId), []);
    const session = await base.scraper.session(sessionId);
    assert.ok(!session || !['live', 'quiet'].includes(session.state), JSON.stringify(session));
    t.diagnostic(base.client.of('stream_state', sessionId).map((event) => `${event.state}: ${event.reason}`).join('; '));
  }

  it('43 a redirect to another host is not followed', async (t) => {
    await staysAway(await elsewhere(t, {
      lead: (request, response, target) => response.writeHead(302, { location: target }).end(),
    }), t);
  });

  it('43 nor is a chain of redirects', async (t) => {
    await staysAway(await elsewhere(t, {
      lead: (request, response, target) => response.writeHead(307, {
        location: request.url === '/live/x' ? '/live/y' : target,
      }).end(),
    }), t);
  });

  it('43 a page that takes itself elsewhere is not followed', async (t) => {
    await staysAway(await elsewhere(t, {
      lead: (request, response, target) => {
        response.setHeader('content-type', 'text/html');
        response.end(`<meta http-equiv="refresh" content="0;url=${target}"><script>setTimeout(() => { location = ${JSON.stringify(target)}; }, 200)</script>`);
      },
    }), t);
  });

  // Frames of other public hosts may load, as on any page; private ones may here, for tests.
  it('43 chat in a frame of another host is not the page\'s chat', async (t) => {
    await staysAway(await elsewhere(t, {
      lead: (request, response, target) => {
        response.setHeader('content-type', 'text/html');
        response.end(`<h1>show</h1><iframe src="${target}"></iframe><object data="${target}"></object>`);
      },
    }), t, { frame: true });
  });

  it('43 a public name that leads to a private address is refused', async (t) => {
    const dir = temporaryFolder('tls');
    t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
    const made = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=shop.example',
      '-keyout', path.join(dir, 'key.pem'), '-out', path.join(dir, 'cert.pem')]);
    assert.equal(made.code, 0, made.text);
    const asked = [];
    const server = https.createServer({ key: fs.readFileSync(path.join(dir, 'key.pem')), cert: fs.readFileSync(path.join(dir, 'cert.pem')) }, (request, response) => {
      asked.push(request.url);
      response.setHeader('content-type', 'text/html');
      response.end('<ol role="log"><li><a href="/user/spy">spy</a>: internal secret</li></ol>');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => { server.closeAllConnections?.(); server.close(); });
    const settings = {
      SCRAPER_ALLOWED_HOSTS: 'shop.example', SCRAPER_BASE_URL: 'https://shop.example/', START_WAIT_MS: '6000',
      CHROME_EXTRA_FLAGS: `--ignore-certificate-errors "--host-resolver-rules=MAP shop.example:443 127.0.0.1:${server.address().port}"`,
    };
    const sessionId = randomUUID();
    const guarded = await daemon(t, { ...settings, SCRAPER_ALLOW_PRIVATE: 'off' });
    await guarded.scraper.begin({ url: 'https://shop.example/live/x', sessionId });
    await sleep(1500);
    assert.deepEqual(guarded.client.messages(sessionId), []);
    const session = await guarded.scraper.session(sessionId);
    assert.ok(!session || !['live', 'quiet'].includes(session.state), JSON.stringify(session));
    t.diagnostic(guarded.client.of('stream_state', sessionId).map((event) => `${event.state}: ${event.reason}`).join('; '));
    // The same with private addresses allowed is read: the guard was what stopped it.
    const open = await daemon(t, { ...settings, SCRAPER_ALLOW_PRIVATE: 'on' });
    await open.scraper.begin({ url: 'https://shop.example/live/x', sessionId });
    await until('the message', () => open.client.messages(sessionId).length === 1, { timeoutMs: 25 * SECOND });
    assert.ok(asked.length > 0);
  });

  it('SCRAPER_LOCAL_PAGE opens that page, and nothing beside it', async (t) => {
    const page = site.live('local-page');
    const base = await daemon(t, { SCRAPER_ALLOWED_HOSTS: null, SCRAPER_ALLOW_PRIVATE: null, SCRAPER_BASE_URL: null, SCRAPER_LOCAL_PAGE: page, START_WAIT_MS: '500' });
    for (const url of [site.live('beside'), `${page}/x`, `${site.url}/`, page.replace('127.0.0.1', 'localhost'), page.replace('http', 'https')]) {
      assert.equal((await base.scraper.begin({ url, sessionId: UUID })).status, 400, url);
    }
    const { status, body } = await base.scraper.begin({ url: page, sessionId: UUID });
    assert.equal(status, 200, body);
    await site.control({ id: 'local-page', say: { user: 'a', text: 'from next door' } });
    await until('the message', () => texts(base.client.messages(UUID)).includes('from next door'), { timeoutMs: 15 * SECOND });
    await site.control({ id: 'beside', say: { user: 'spy', text: 'internal secret' } });
    await site.control({ id: 'local-page', navigate: site.live('beside') });
    await sleep(1500); // a page that was let through would have been read by now
    assert.equal((await site.streamStats('beside')).clients, 0);
    assert.ok(!texts(base.client.messages(UUID)).includes('internal secret'));
  });
});

describe('hostile pages and bytes', () => {
  it('44 a page cannot forge a message', async (t) => {
    const base = await daemon(t, { SCRAPER_SOURCE: 'document' });
    const show = await Show.open({ ...base, source: 'document' });
    const forged = JSON.stringify(JSON.stringify({ type: 'rows', strategy: 'test-ids', rows: [{ user: 'forger', text: 'forged' }], lines: [{ username: 'forger', text: 'forged' }] }));
    const code = `void(()=>{const found=['dealflowReport','dealflow'].filter(n=>typeof window[n]!=='undefined');` +
      `try{window.dealflowReport(${forged})}catch(e){}try{dealflow.mode('report')}catch(e){}` +
      `fetch('/control',{method:'POST',body:JSON.stringify({id:'${show.id}',profile:'seen:'+found.join()})})})()`;
    await show.control({ navigate: `javascript:${encodeURIComponent(code)}` });
    await until('the page to answer', async () => (await site.streamStats(show.id)).cfg.profile.startsWith('seen:'));
    assert.equal((await site.streamStats(show.id)).cfg.profile, 'seen:', 'the page sees nothing of ours');
    assert.deepEqual(texts(await show.say([{ user: 'a', text: 'genuine' }])), ['genuine']);
    assert.deepEqual(texts(show.messages()), ['genuine']);
    assert.equal((await base.scraper.session(show.sessionId)).state, 'live');
  });

  it('45 a row of 300 KB does no harm', async (t) => {
    const base = await daemon(t, { SCRAPER_SOURCE: 'document' });
    const show = await Show.open({ ...base, source: 'document' });
    await show.control({ say: { user: 'huge', text: 'x'.repeat(300_000) } });
    await show.control({ say: { user: 'a', text: 'and on it goes' } });
    await until('the next message', () => texts(show.messages()).includes('and on it goes'));
    assert.ok(show.messages().every((each) => Buffer.byteLength(each.message) <= 4000));
    assert.equal((await base.scraper.session(show.sessionId)).state, 'live');
    assert.equal((await base.scraper.health()).browser.starts, 1);
  });

  const bytes = {
    'random bytes': 'head -c 3000000 /dev/urandom >&4; sleep 1',
    'a message without end': 'head -c 80000000 /dev/zero | tr "\\0" a >&4; sleep 1',
    'JSON of the wrong shape': `for i in 1 2 3 4 5 6 7 8; do printf '[]\\0{"id":"x"}\\0{"id":1,"result":7}\\0{"method":7,"params":[]}\\0null\\0{"method":"Target.attachedToTarget","params":{"sessionId":{}}}\\0' >&4; done; sleep 1`,
    'nothing at all, then the end': 'exit 3',
  };
  for (const [what, lines] of Object.entries(bytes)) {
    it(`45 ${what} from the browser: it is started again, the daemon goes on`, async (t) => {
      const dir = temporaryFolder('hostile');
      t.after(() => fs.rmSync(dir, { recursive: true, force: true }));
      const base = await daemon(t, { CHROME_EXECUTABLE_PATH: script(dir, 'hostile-browser', lines), START_WAIT_MS: '0' });
      const sessionId = await base.scraper.watch(site.live('x'));
      await until('a second start', async () => (await base.scraper.health()).browser.starts >= 2, { timeoutMs: 30 * SECOND });
      const session = await base.scraper.session(sessionId);
      assert.ok(!session || session.state !== 'live');
    });
  }
});

describe('delivery', { concurrency: 3 }, () => {
  // An endpoint whose answers the test decides: answer(body, n) -> {status, headers}.
  async function endpoint(t, answer) {
    const accepted = new Map(); // messageId -> how often it was answered 200
    const asked = [];
    const server = http.createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('end', () => {
        const body = JSON.parse(text);
        asked.push({ ...body, at: wallMs() });
        const { status, headers = {} } = answer(body, asked.length);
        if (status === 200) accepted.set(body.messageId, (accepted.get(body.messageId) ?? 0) + 1);
        response.writeHead(status, { 'content-type': 'application/json', ...headers });
        response.end(status === 200 ? '{"success":true}' : '{"error":"test","success":false}');
      });
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => { server.closeAllConnections?.(); server.close(); });
    return { accepted, asked, settings: { SUPABASE_URL: `http://127.0.0.1:${server.address().port}`, SUPABASE_SERVICE_ROLE_KEY: 'test-key-of-sixteen-characters' } };
  }

  it('46 an endpoint that is down: everything is delivered afterwards, each once', { timeout: 240_000 }, async (t) => {
    let isDown = true;
    const sink = await endpoint(t, () => ({ status: isDown ? 503 : 200 }));
    const base = await daemon(t, sink.settings);
    const show = await Show.open({ ...base });
    const result = await show.chat(5, long ? 60 : 8);
    complete(result, { atLeast: 25 });
    const { outbox } = await base.scraper.health();
    assert.equal(outbox.pending, show.messages().length);
    assert.equal(outbox.delivered, 0);
    isDown = false;
    await until('everything to be delivered', async () => (await base.scraper.health()).outbox.pending === 0, { timeoutMs: 60 * SECOND });
    assert.deepEqual([...sink.accepted.keys()].sort(), show.messages().map((each) => each.messageId).sort());
    assert.deepEqual([...sink.accepted.values()].filter((times) => times !== 1), [], 'accepted twice');
  });

  it('46 a queue at its limit is respected, counted and told', { timeout: 60_000 }, async (t) => {
    const sink = await endpoint(t, () => ({ status: 503 }));
    const base = await daemon(t, { ...sink.settings, OUTBOX_MAX_ROWS: '100' });
    const show = await Show.open({ ...base });
    await show.control({ burst: 150 });
    await until('the alarm', async () => (await base.scraper.health()).outbox.alarm !== '', { timeoutMs: 15 * SECOND });
    const { outbox } = await base.scraper.health();
    assert.ok(outbox.pending <= 100 + 50, JSON.stringify(outbox));
    assert.equal(outbox.capturing, false, 'it does not claim what it cannot keep');
    const claimed = show.messages().filter((each) => each.captured).length;
    assert.ok(claimed <= 100, `${claimed} claimed`);
    assert.ok(base.client.of('error').some((event) => event.code === 'OUTBOX'), 'clients are told');
  });

  it('47 400 is not retried, 429 waits as long as it says', { timeout: 60_000 }, async (t) => {
    const WAIT_S = 3;
    const refused = new Set();
    const sink = await endpoint(t, (body) => {
      if (body.message === 'bad') return { status: 400 };
      if (body.message === 'busy' && !refused.has(body.messageId)) {
        refused.add(body.messageId);
        return { status: 429, headers: { 'retry-after': String(WAIT_S) } };
      }
      return { status: 200 };
    });
    const base = await daemon(t, sink.settings);
    const show = await Show.open({ ...base });
    await show.say([{ user: 'a', text: 'bad' }, { user: 'a', text: 'good' }, { user: 'a', text: 'busy' }]);
    await until('the rest to be delivered', async () => (await base.scraper.health()).outbox.pending === 0, { timeoutMs: 20 * SECOND });
    await sleep(SECOND);
    const tries = (text) => sink.asked.filter((each) => each.message === text);
    assert.equal(tries('bad').length, 1);
    assert.equal(tries('good').length, 1);
    assert.equal(tries('busy').length, 2);
    const waited = tries('busy')[1].at - tries('busy')[0].at;
    t.diagnostic(`waited ${Math.round(waited)} ms`);
    assert.ok(waited >= WAIT_S * SECOND - 50, `${waited} ms`);
    assert.equal((await base.scraper.health()).outbox.dead, 1);
    assert.equal(tries('good')[0].streamSessionId, show.sessionId);
  });
});

describe('the table and what was reported', () => {
  it('function, nginx and Postgres stopped in turn, the daemon killed three times, at 20 messages/s', { timeout: 15 * 60_000 }, async (t) => {
    const DOWN_MS = (long ? 30 : 3) * SECOND;
    const postgres = await startPostgres();
    const system = await startSystem({ env: { ANALYZER: 'local' }, postgres });
    t.after(() => system.stop());
    const scraper = await Scraper.start({
      site, env: { SUPABASE_URL: system.url, SUPABASE_SERVICE_ROLE_KEY: await system.token() },
    });
    t.after(() => scraper.stop());
    const reported = new Map(); // messageId -> {username, message}
    const kills = [];
    let client;
    // What clients were told over all lives of the daemon.
    const collect = () => {
      for (const each of client.messages(SESSION)) {
        assert.ok(!reported.has(each.messageId), `reported twice: ${each.message}`);
        if (each.captured) reported.set(each.messageId, each);
      }
      client.events.length = 0;
    };
    client = await scraper.client();
    const show = new Show({ site, scraper, client, id: 'delivery', history: 50 });
    await show.control(show.cfg);
    await scraper.watch(show.url, { sessionId: SESSION });
    await show.control({ rate: 20 });

    const kill = async () => {
      await sleep(SECOND);
      await scraper.kill9();
      kills.push(wallMs());
      collect();
      await scraper.start();
      client = await scraper.client();
      await scraper.reaches(SESSION, 'live', { timeoutMs: 30 * SECOND });
    };
    await sleep(2 * SECOND);
    await system.program.stop();
    await sleep(DOWN_MS / 2);
    await kill();
    await sleep(DOWN_MS / 2);
    await system.program.start();
    await sleep(2 * SECOND);
    await system.nginx.stop();
    await sleep(DOWN_MS / 2);
    await kill();
    await sleep(DOWN_MS / 2);
    await system.nginx.start();
    await sleep(2 * SECOND);
    await system.postgres.stop('fast');
    await sleep(DOWN_MS);
    await system.postgres.start();
    await sleep(SECOND);
    await kill();
    await sleep(2 * SECOND);
    await show.control({ rate: 0 });
    await sleep(SECOND);
    await until('the outbox to be empty', async () => (await scraper.health()).outbox.pending === 0, { timeoutMs: 120 * SECOND });
    collect();

    await system.reconnect();
    const { rows } = await system.db.query('select id, username, message from public.chat_messages');
    const stored = new Map(rows.map((row) => [row.id, row]));
    for (const [id, message] of reported) {
      assert.ok(stored.has(id), `reported as captured, not stored: ${message.message}`);
      assert.deepEqual([stored.get(id).username, stored.get(id).message], [message.username, message.message]);
    }
    // A line that was committed when the daemon died is stored though nobody could be told any more.
    const untold = rows.filter((row) => !reported.has(row.id));
    const truth = await site.truth('delivery');
    const result = score(truth, rows.map((row) => ({ username: row.username, message: row.message })), { expect: 'sent' });
    t.diagnostic(`${reported.size} reported, ${rows.length} stored, ${untold.length} stored but not told around ${kills.length} kills; ` +
      `of what was sent: ${figures({ ...result, out_of_order: 0 })}`);
    assert.equal(result.duplicates, 0, JSON.stringify(result.duplicate_examples));
    assert.equal(result.bogus, 0, JSON.stringify(result.bogus_examples));
    assert.ok(untold.length <= kills.length * 20, `${untold.length} rows that nobody was told of`);
  });
});
