// Captured sales at user_settings.webhook_url: signed, at least once, whatever the receiver, the
// program or Postgres does; never at an address that is not public.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startPostgres } from './lib/postgres.mjs';
import { OTHER_OWNER, OTHER_SESSION, OWNER, SESSION, startSystem } from './lib/system.mjs';
import { sleep, until } from './lib/wait.mjs';

let system;
const rows = async (sql, values) => (await system.db.query(sql, values)).rows;
const one = async (sql, values) => (await rows(sql, values))[0];
const setUrl = (url, owner = OWNER) =>
  system.db.query('update public.user_settings set webhook_url = $1 where user_id = $2', [url, owner]);
const secretOf = async (owner = OWNER) =>
  (await one('select secret from public.webhook_secrets where user_id = $1', [owner]))?.secret;
const delivery = (id) => one('select * from public.webhook_deliveries where sale_id = $1', [id]);
const untilState = (id, state, more) =>
  until(`delivery to be ${state}`, async () => {
    const row = await delivery(id);
    return row?.state === state && row;
  }, more);

// Posts a line that becomes a sale; returns its id.
async function sell(session = SESSION, more = {}) {
  const messageId = randomUUID();
  const { status, body } = await system.post({
    message: "i'll take it", username: 'kat', streamSessionId: session, platform: 'whatnot', messageId, ...more,
  });
  assert.equal(status, 200, body);
  assert.equal(JSON.parse(body).analysis.auto_captured, true);
  return messageId;
}

// A receiver that does as `answer(request)` says: {status, headers, body, hang, drop, delayMs}.
class Receiver {
  constructor(answer = () => ({})) {
    this.answer = answer;
    this.calls = [];
  }

  start(make = (handler) => http.createServer(handler)) {
    this.server = make((request, response) => {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('error', () => {});
      response.on('error', () => {});
      request.on('end', async () => {
        const call = { headers: request.headers, body: Buffer.concat(pieces).toString(), path: request.url, method: request.method };
        this.calls.push(call);
        const a = this.answer(call, this.calls.length) ?? {};
        if (a.hang) return;
        if (a.drop) {
          request.socket.destroy();
          return;
        }
        if (a.delayMs) await sleep(a.delayMs);
        response.writeHead(a.status ?? 204, a.headers);
        if (a.endless) {
          const feed = () => { while (response.writable && response.write('x'.repeat(65536))); };
          response.on('drain', feed);
          feed();
          return;
        }
        response.end(a.body);
      });
    });
    return new Promise((resolve) => {
      this.server.listen(this.port ?? 0, '127.0.0.1', () => {
        this.port = this.server.address().port;
        this.url = `http://127.0.0.1:${this.port}/hook?x=1`;
        resolve(this);
      });
    });
  }

  stop() {
    this.server?.closeAllConnections?.();
    return new Promise((resolve) => { this.server ? this.server.close(resolve) : resolve(); });
  }

  ids() {
    return this.calls.map((call) => JSON.parse(call.body).id);
  }
}

function assertSigned(call, secret) {
  const [, t, v1] = call.headers['x-dealflow-signature'].match(/^t=(\d+),v1=([0-9a-f]{64})$/);
  assert.ok(Math.abs(Date.now() / 1000 - Number(t)) < 60);
  assert.equal(v1, createHmac('sha256', secret).update(`${t}.${call.body}`).digest('hex'));
}

const env = (more = {}) => ({
  ANALYZER: 'local', WEBHOOK_ALLOW_PRIVATE: 'on', WEBHOOK_BACKOFF_MS: '20', WEBHOOK_TIMEOUT_MS: '1000', ...more,
});
const clean = async () => {
  await setUrl(null);
  await setUrl(null, OTHER_OWNER);
  await system.clean();
  await system.db.query('truncate public.webhook_deliveries');
};

describe('webhooks', () => {
  const receivers = [];
  const receiver = async (answer, make) => {
    const r = await new Receiver(answer).start(make);
    receivers.push(r);
    return r;
  };
  before(async () => { system = await startSystem({ env: env({ WEBHOOK_ATTEMPTS_MAX: '3' }) }); });
  after(async () => {
    await system?.stop();
    for (const r of receivers) await r.stop();
  });
  beforeEach(clean);

  test('a sale arrives at once, signed, with its fields and its session', async () => {
    const r = await receiver();
    await setUrl(r.url);
    const id = await sell();
    await untilState(id, 'delivered', { timeoutMs: 5000 });
    assert.equal(r.calls.length, 1);
    const [call] = r.calls;
    assert.equal(call.method, 'POST');
    assert.equal(call.path, '/hook?x=1');
    assert.equal(call.headers['content-type'], 'application/json');
    assert.equal(call.headers['x-dealflow-event'], 'sale.captured');
    assert.equal(call.headers['x-dealflow-id'], id);
    assertSigned(call, await secretOf());
    const sale = await one('select * from public.sales_captured where id = $1', [id]);
    const event = JSON.parse(call.body);
    assert.deepEqual(Object.keys(event), ['id', 'type', 'created_at', 'sale', 'session']);
    assert.equal(event.id, id);
    assert.equal(event.type, 'sale.captured');
    assert.deepEqual({ ...event.sale, captured_at: undefined }, {
      id, user_id: OWNER, stream_session_id: SESSION, platform: 'whatnot', buyer_username: 'kat',
      message_text: "i'll take it", item_description: sale.item_description,
      estimated_value: sale.estimated_value === null ? null : Number(sale.estimated_value), captured_at: undefined,
    });
    assert.equal(event.session.id, SESSION);
    assert.equal(await system.program.metric('dealflow_webhooks_delivered_total') >= 1, true);
  });

  test('without an address nothing is kept; sales that are inserted otherwise are covered', async () => {
    const none = await sell();
    assert.equal(await delivery(none), undefined);
    const r = await receiver();
    await setUrl(r.url);
    const { id } = await one(`insert into public.sales_captured (user_id, platform, buyer_username, message_text)
      values ($1, 'whatnot', 'joe', 'by hand') returning id`, [OWNER]);
    await untilState(id, 'delivered');
    assert.equal(JSON.parse(r.calls[0].body).session, null);
    assert.deepEqual(await rows('select sale_id from public.webhook_deliveries'), [{ sale_id: id }]);
  });

  test('a receiver that fails gets it again, the same body, until it says 2xx', async () => {
    const r = await receiver((_, n) => ({ status: n < 3 ? 500 : 200 }));
    await setUrl(r.url);
    const id = await sell();
    const row = await untilState(id, 'delivered');
    assert.equal(row.attempts, 3);
    assert.equal(r.calls.length, 3);
    assert.equal(new Set(r.calls.map((call) => call.body)).size, 1);
    for (const call of r.calls) assertSigned(call, await secretOf());
  });

  test('what never works is given up with the reason, and can be tried again', async () => {
    const r = await receiver(() => ({ status: 503 }));
    await setUrl(r.url);
    const id = await sell();
    const row = await untilState(id, 'dead');
    assert.deepEqual([row.attempts, row.last_status, row.last_error], [3, 503, 'answered 503']);
    assert.equal(r.calls.length, 3);
    r.answer = () => ({});
    await system.db.query("update public.webhook_deliveries set state = 'waiting', attempts = 0, next_attempt_at = now()");
    await untilState(id, 'delivered');
  });

  for (const [what, answer, why, status] of [
    ['redirects', () => ({ status: 302, headers: { location: 'http://169.254.169.254/' } }), /redirects are not followed/, 302],
    ['hangs', () => ({ hang: true }), /timed out/i, null],
    ['hangs up', () => ({ drop: true }), /./, null],
    ['talks without end', () => ({ status: 500, endless: true }), /larger than 65536 bytes/, 500],
  ]) {
    test(`a receiver that ${what} costs an attempt and nothing else`, async () => {
      const r = await receiver(answer);
      await setUrl(r.url);
      const id = await sell();
      const row = await until('an attempt', async () => {
        const now = await delivery(id);
        return now.attempts >= 1 && now;
      });
      assert.match(row.last_error, why);
      assert.equal(row.last_status, status);
      await setUrl((await receiver()).url); // corrected: what waits goes there
      await untilState(id, 'delivered');
    });
  }

  test('addresses that cannot be called say why', async () => {
    for (const [url, why] of [
      ['ftp://example.com/', /must begin with https/], ['file:///etc/passwd', /must begin with https|not an address/],
      ['no address', /not an address/], ['http://127.0.0.1:1/', /connect|refused/i],
    ]) {
      await clean();
      await setUrl(url);
      const id = await sell();
      const row = await untilState(id, 'dead', { timeoutMs: 20_000 });
      assert.match(row.last_error, why, url);
    }
  });

  test('a certificate that nobody vouches for is refused', async () => {
    const key = path.join(system.dir, 'k.pem');
    const cert = path.join(system.dir, 'c.pem');
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=127.0.0.1',
      '-keyout', key, '-out', cert], { stdio: 'ignore' });
    const r = await receiver(() => ({}), (handler) =>
      https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, handler));
    await setUrl(r.url.replace('http:', 'https:'));
    const id = await sell();
    const row = await until('an attempt', async () => {
      const now = await delivery(id);
      return now.attempts >= 1 && now;
    });
    assert.match(row.last_error, /certificate/i);
    assert.equal(r.calls.length, 0);
  });

  test('a slow receiver delays nobody else', async () => {
    const slow = await receiver(() => ({ hang: true }));
    const quick = await receiver();
    await setUrl(slow.url);
    await setUrl(quick.url, OTHER_OWNER);
    for (let i = 0; i < 40; i++) await sell();
    await until('the slow lane to be taken', () => slow.calls.length >= 1);
    const began = Date.now();
    const id = await sell(OTHER_SESSION);
    await untilState(id, 'delivered', { timeoutMs: 3000 });
    assert.ok(Date.now() - began < 900, `${Date.now() - began} ms: it waited for the slow one's timeout`);
    assert.ok(slow.calls.length <= 4);
  });

  test('a user sees the own secret and deliveries, and can replace the secret', async () => {
    const r = await receiver();
    await setUrl(r.url);
    await setUrl(r.url, OTHER_OWNER);
    const id = await sell();
    await untilState(id, 'delivered');
    const as = async (sql, user = OWNER, role = 'authenticated') => {
      await system.db.query('begin');
      try {
        await system.db.query(`set local role ${role}`);
        await system.db.query("select set_config('request.jwt.claims', $1, true)", [JSON.stringify({ sub: user, role })]);
        return (await system.db.query(sql)).rows;
      } finally {
        await system.db.query('rollback');
      }
    };
    assert.deepEqual((await as('select user_id from public.webhook_secrets')), [{ user_id: OWNER }]);
    assert.deepEqual((await as('select sale_id from public.webhook_deliveries')), [{ sale_id: id }]);
    assert.deepEqual(await as('select * from public.webhook_deliveries', OTHER_OWNER), []);
    await assert.rejects(as('select * from public.webhook_secrets', OWNER, 'anon'), /permission denied/);
    await assert.rejects(as("update public.webhook_secrets set secret = 'x'"), /permission denied/);
    await assert.rejects(as('delete from public.webhook_deliveries'), /permission denied/);
    await assert.rejects(as('select public.rotate_webhook_secret()', OWNER, 'anon'), /permission denied/);
    const old = await secretOf();
    const others = await secretOf(OTHER_OWNER);
    await system.db.query("begin; set local role authenticated");
    await system.db.query("select set_config('request.jwt.claims', $1, true)", [JSON.stringify({ sub: OWNER })]);
    const [{ secret }] = (await system.db.query('select public.rotate_webhook_secret() as secret')).rows;
    await system.db.query('commit');
    assert.match(secret, /^whsec_[0-9a-f]{64}$/);
    assert.notEqual(secret, old);
    assert.equal(await secretOf(), secret);
    assert.equal(await secretOf(OTHER_OWNER), others);
    const next = await sell();
    await untilState(next, 'delivered');
    assertSigned(r.calls.find((call) => call.body.includes(next)), secret);
  });
});

test('addresses that are not public are refused, however they are spelled, and nothing arrives', async () => {
  system = await startSystem({ env: env({ WEBHOOK_ALLOW_PRIVATE: 'off', WEBHOOK_ATTEMPTS_MAX: '1' }) });
  const r = await new Receiver().start((handler) => http.createServer(handler));
  try {
    for (const host of ['127.0.0.1', 'localhost', '[::1]', '2130706433', '0x7f.1', '0177.0.0.1', '[::ffff:127.0.0.1]',
      '10.0.0.1', '169.254.169.254', '192.168.0.1', '[fd00:ec2::254]', '[fe80::1]', '0.0.0.0']) {
      await clean();
      await setUrl(`https://${host}:${r.port}/`);
      const row = await untilState(await sell(), 'dead');
      assert.match(row.last_error, /the address is private or reserved/, host);
      assert.equal(row.last_status, null);
    }
    await clean();
    await setUrl(r.url);
    assert.match((await untilState(await sell(), 'dead')).last_error, /must begin with https/);
    assert.equal(r.calls.length, 0);
    assert.ok(await system.program.metric('dealflow_webhooks_refused_total') >= 13);
  } finally {
    await system.stop();
    await r.stop();
  }
});

test('kill -9 in the middle of a call: every sale arrives, none is captured twice', async () => {
  // The lease of a call that was lost is its timeout and half a minute; the test does not wait that long.
  system = await startSystem({ env: env({ WEBHOOK_TIMEOUT_MS: '60000' }) });
  let hold = true;
  const r = await new Receiver(() => (hold ? { hang: true } : {})).start();
  try {
    await setUrl(r.url);
    const ids = [];
    for (let i = 0; i < 6; i++) ids.push(await sell());
    await until('a call under way', () => r.calls.length >= 1);
    system.program.kill('SIGKILL');
    await system.program.child.ended;
    hold = false;
    const before = new Set(r.ids());
    assert.equal((await one("select count(*)::int as n from public.webhook_deliveries where state = 'waiting'")).n, 6);
    await system.db.query("update public.webhook_deliveries set next_attempt_at = now() where next_attempt_at > now()"); // the lease
    await system.program.start();
    for (const id of ids) await untilState(id, 'delivered');
    for (const id of ids) assert.ok(r.ids().includes(id));
    assert.ok(before.size >= 1);
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 6);
  } finally {
    await system.stop();
    await r.stop();
  }
});

test('SIGTERM in the middle of a call: it is due again at once', async () => {
  system = await startSystem({ env: env({ WEBHOOK_TIMEOUT_MS: '60000' }) });
  let hold = true;
  const r = await new Receiver(() => (hold ? { hang: true } : {})).start();
  try {
    await setUrl(r.url);
    const id = await sell();
    await until('a call', () => r.calls.length === 1);
    const began = Date.now();
    await system.program.stop();
    assert.ok(Date.now() - began < 5000);
    hold = false;
    await system.program.start();
    const row = await untilState(id, 'delivered', { timeoutMs: 5000 });
    assert.equal(row.attempts, 1);
  } finally {
    await system.stop();
    await r.stop();
  }
});

test('Postgres and the receiver go away and come back: all arrive', async () => {
  system = await startSystem({ postgres: await startPostgres(), env: env() });
  const r = await new Receiver((_, n) => ({ delayMs: 150, status: n % 5 === 0 ? 500 : 200 })).start();
  try {
    await setUrl(r.url);
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await sell());
    await until('calls under way', () => r.calls.length >= 2);
    await system.postgres.kill9(); // the results of these calls cannot be written down now
    await r.stop();
    await sleep(500);
    await system.postgres.start();
    await system.reconnect();
    await r.start();
    await system.db.query("update public.webhook_deliveries set next_attempt_at = now() where state = 'waiting'");
    for (let i = 0; i < 5; i++) ids.push(await sell());
    for (const id of ids) await untilState(id, 'delivered', { timeoutMs: 30_000 });
    const arrived = new Set(r.ids());
    for (const id of ids) assert.ok(arrived.has(id), id);
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 15);
  } finally {
    await system.stop();
    await r.stop();
  }
});
