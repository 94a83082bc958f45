// Running it: options, settings, metrics, readiness, reload, drain, logs, limits (checklist 28, 38,
// 43, 48, 49).
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { startSystem, SESSION } from './lib/system.mjs';
import { baseEnv, binary, root } from './lib/program.mjs';
import { run } from './lib/process.mjs';
import { request } from './lib/http.mjs';
import { JWT_SECRET, token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const line = (message = 'hello', more = {}) => ({
  message, username: 'op_user', streamSessionId: SESSION, ...more,
});
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

describe('command line', () => {
  const bare = (args, env = {}) => run(binary, args, { env: { ...baseEnv, ...env } });
  const good = { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', JWT_SECRET };

  test('--help names every setting, fits a man page, and ends with 0', async () => {
    const { code, stdout } = await bare(['--help']);
    assert.equal(code, 0);
    for (const name of ['DATABASE_URL', 'FCGI_SOCKET', 'JWT_SECRET', 'JWKS_FILE', 'API_KEYS', 'ANON_WRITES', 'ANALYZER', 'AI_BASE_URL', 'AI_ON_ERROR', 'CONFIDENCE_THRESHOLD', 'CAPTURE_TYPES', 'METRICS_LISTEN', 'LOG_LEVEL']) {
      assert.match(stdout, new RegExp(`^ *${name}\\b`, 'm'), name);
    }
  });

  test('the man page and deploy/env.example name the same settings as --help', async () => {
    const { stdout } = await bare(['--help']);
    const names = [...stdout.matchAll(/^ {0,4}([A-Z][A-Z0-9_]{3,})\b/gm)].map((each) => each[1])
      .filter((name) => !name.startsWith('SIG'));
    assert.ok(names.length > 30, `${names.length} names`);
    const manual = fs.readFileSync(path.join(root, 'fcgi/monitor-realtime-stream.8'), 'utf8');
    const example = fs.readFileSync(path.join(root, 'deploy/env.example'), 'utf8');
    for (const name of names) {
      assert.ok(new RegExp(`\\b${name}\\b`).test(manual), `man page: ${name}`);
      assert.ok(new RegExp(`^#? ?${name}=`, 'm').test(example), `env.example: ${name}`);
    }
  });

  test('--version prints version and commit', async () => {
    const { code, stdout } = await bare(['--version']);
    assert.equal(code, 0);
    assert.match(stdout, /^monitor-realtime-stream \d+\.\d+\.\d+ \(?\w+\)?/);
  });

  test('an unknown option goes to stderr with 64', async () => {
    const result = await bare(['--nonsense']);
    assert.equal(result.code, 64);
    assert.equal(result.stdout, '');
    assert.match(result.text, /--help/);
  });

  test('--check prints the settings without the secrets and ends with 0', async () => {
    const { code, stdout, text } = await bare(['--check'], {
      ...good, API_KEYS: 'sb_secret_hidden=service_role', AI_API_KEY: 'hidden-ai-key', CAPTURE_TYPES: 'direct_purchase',
    });
    assert.equal(code, 0, text);
    assert.match(stdout, /^CAPTURE_TYPES=direct_purchase$/m);
    assert.match(stdout, /^JWT_SECRET=\(set\)$/m);
    for (const secret of [JWT_SECRET, 'sb_secret_hidden', 'hidden-ai-key', 'nobody@127']) {
      assert.ok(!text.includes(secret), `it printed ${secret}`);
    }
  });

  const bad = [
    ['DATABASE_URL', { DATABASE_URL: '' }],
    ['JWT_SECRET', { JWT_SECRET: '' }],
    ['JWT_SECRET', { JWT_SECRET: 'short' }],
    ['ANALYZER', { ANALYZER: 'magic' }],
    ['AI_TIMEOUT_MS', { AI_TIMEOUT_MS: '10s' }],
    ['AI_TIMEOUT_MS', { AI_TIMEOUT_MS: '-1' }],
    ['AI_TIMEOUT_MS', { AI_TIMEOUT_MS: '99999999999999999999' }],
    ['CONFIDENCE_THRESHOLD', { CONFIDENCE_THRESHOLD: '1.5' }],
    ['CONFIDENCE_THRESHOLD', { CONFIDENCE_THRESHOLD: 'nan' }],
    ['CAPTURE_TYPES', { CAPTURE_TYPES: 'direct_purchase,nonsense' }],
    ['API_KEYS', { API_KEYS: 'sb_secret_without_role' }],
    ['API_KEYS', { API_KEYS: 'sb_secret_hidden=king' }],
    ['JWKS_FILE', { JWKS_FILE: '/nonexistent/jwks.json' }],
    ['LOG_LEVEL', { LOG_LEVEL: 'loud' }],
    ['AI_BASE_URL', { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BASE_URL: 'ftp://127.0.0.1/v1' }],
    ['INTENT_WEIGHTS', { INTENT_WEIGHTS: '/nonexistent/weights' }],
    ['DATABASE_ROLE', { DATABASE_ROLE: 'x; drop table y' }],
    ['FCGI_SOCKET', { FCGI_SOCKET: 'not-a-socket' }],
  ];
  for (const [name, env] of bad) {
    test(`a bad ${name} (${Object.values(env).pop() || 'unset'}) stops the start and is named`, async () => {
      const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'df-bad-'));
      try {
        const result = await run(binary, [], {
          env: { ...baseEnv, ...good, FCGI_SOCKET: path.join(dir, 's'), ...env }, timeoutMs: 10_000, cwd: dir,
        });
        assert.notEqual(result.code, 0);
        assert.notEqual(result.code, null, `it went on running:\n${result.text}`);
        assert.match(result.text, new RegExp(name));
        assert.ok(!result.text.includes('sb_secret_hidden'), 'no secret in the message');
        assert.ok(!/Sanitizer|runtime error/.test(result.text), result.text);
      } finally {
        fs.rmSync(dir, { recursive: true, force: true });
      }
    });
  }

  test('nowhere to listen is an error, not silence', async () => {
    const result = await run(binary, [], { env: { ...baseEnv, ...good }, timeoutMs: 10_000 });
    assert.notEqual(result.code, 0);
    assert.match(result.text, /FCGI_SOCKET/);
  });
});

describe('private door', () => {
  let system;
  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off' } });
  });
  after(() => system?.stop());

  test('metrics follow Prometheus’ text format and count what happened', async () => {
    system.model.buyer();
    for (let i = 0; i < 3; i++) assert.equal((await system.post(line())).status, 200);
    assert.equal((await system.post({})).status, 400);
    assert.equal((await system.post(line(), { headers: {} })).status, 401);
    const answer = await system.program.get('/metrics');
    assert.equal(answer.status, 200);
    assert.match(answer.headers['content-type'], /^text\/plain; version=0\.0\.4/);
    const typed = new Set();
    for (const each of answer.body.trimEnd().split('\n')) {
      const type = each.match(/^# TYPE (\S+) (counter|gauge|histogram)$/);
      if (type) typed.add(type[1]);
      else if (!each.startsWith('#')) {
        const sample = each.match(/^([a-z_]+)(\{[^}]*\})? (-?[0-9.e+-]+|\+Inf|NaN)$/);
        assert.ok(sample, `no sample: ${each}`);
        const family = sample[1].replace(/_(bucket|sum|count)$/, '');
        assert.ok(typed.has(sample[1]) || typed.has(family), `no TYPE before: ${each}`);
      }
    }
    const value = async (name) => system.program.metric(name);
    assert.equal(await value('dealflow_messages_stored_total'), 3);
    assert.equal(await value('dealflow_sales_captured_total'), 3);
    assert.equal(await value('dealflow_analysed_gateway_total'), 3);
    assert.equal(await value('dealflow_responses_total{status="200"}'), 3);
    assert.equal(await value('dealflow_responses_total{status="400"}'), 1);
    assert.equal(await value('dealflow_responses_total{status="401"}'), 1);
    assert.equal(await value('dealflow_request_seconds_count'), 5);
    for (const name of ['request', 'store', 'commit', 'model']) {
      const buckets = [...answer.body.matchAll(new RegExp(`dealflow_${name}_seconds_bucket\\{le="([^"]+)"\\} (\\d+)`, 'g'))];
      assert.ok(buckets.length > 3, name);
      for (let i = 1; i < buckets.length; i++) {
        assert.ok(Number(buckets[i][2]) >= Number(buckets[i - 1][2]), `${name} buckets add up`);
      }
      assert.equal(buckets.at(-1)[1], '+Inf');
    }
    assert.match(answer.body, /dealflow_\w*tokens\w*/, 'AI tokens are counted');
  });

  test('what else is asked there gets 404 or 405', async () => {
    assert.equal((await system.program.get('/nothing')).status, 404);
    const post = await request({ socketPath: system.program.metricsSocket, path: '/metrics' }, { method: 'POST', body: 'x' });
    assert.ok([404, 405].includes(post.status), `${post.status}`);
  });

  test('metrics are not reachable through the public door', async () => {
    for (const where of ['/metrics', '/functions/v1/metrics', '/functions/v1/monitor-realtime-stream/../metrics']) {
      const answer = await request(`${system.url}${where}`);
      assert.notEqual(answer.status, 200, where);
      assert.ok(!answer.body.includes('dealflow_'), where);
    }
  });

  test('garbage at the private door does not harm the program', async () => {
    for (const garbage of ['\0\0\0\0', 'GET', 'GET / HTTP/9.9\r\n\r\n', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`, '\r\n\r\n']) {
      await new Promise((resolve) => {
        const socket = net.connect(system.program.metricsSocket, () => socket.end(garbage));
        socket.on('error', () => {});
        socket.on('close', resolve);
        socket.resume();
      });
    }
    assert.equal((await system.program.get('/healthz')).status, 200);
  });

  test('readiness goes with the database and comes back; health does not move', async () => {
    assert.equal((await system.program.get('/readyz')).status, 200);
    await system.postgres.stop('immediate');
    try {
      await until('readiness to go', async () => {
        await system.post(line()).catch(() => {});
        return (await system.program.get('/readyz')).status === 503;
      });
      assert.equal((await system.program.get('/healthz')).status, 200);
      assert.equal((await request(`${system.url}/readyz`)).status, 503);
      assert.equal((await request(`${system.url}/healthz`)).status, 200);
    } finally {
      await system.postgres.start();
      await system.reconnect();
    }
    await system.program.ready(3000);
    assert.equal((await system.post(line())).status, 200);
  });
});

test('started before its database is there, it waits, says 503, and goes to work when it comes', async () => {
  const system = await startSystem({ env: { ANALYZER: 'off' } });
  try {
    await system.program.child.stop('SIGTERM');
    await system.postgres.stop('immediate');
    await system.program.start({ ready: false });
    assert.equal((await system.program.get('/readyz')).status, 503);
    const early = await system.post(line());
    assert.equal(early.status, 503, early.body);
    assert.match(early.headers['retry-after'], /^\d+$/);
    await system.postgres.start();
    await system.program.ready(3000);
    assert.equal((await system.post(line())).status, 200);
    await system.reconnect();
  } finally {
    await system.stop();
  }
});

describe('SIGHUP', () => {
  test('keys and limits change while requests run; none is lost', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'off' },
      settings: { API_KEYS: 'sb_secret_old_key=service_role', MESSAGE_MAX_BYTES: '100' },
    });
    try {
      const by = (key, body = line()) => system.post(body, { headers: { apikey: key } });
      assert.equal((await by('sb_secret_old_key')).status, 200);
      assert.equal((await by('sb_secret_new_key')).status, 401);
      assert.equal((await by('sb_secret_old_key', line('m'.repeat(200)))).status, 413);

      let stop = false;
      const outcomes = new Map();
      const traffic = Array.from({ length: 8 }, async () => {
        while (!stop) {
          const { status } = await system.post(line('during reload'));
          outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
        }
      });
      for (let i = 0; i < 5; i++) {
        await system.program.reload({ API_KEYS: `sb_secret_step_${i}=service_role`, MESSAGE_MAX_BYTES: '100' });
      }
      await system.program.reload({ API_KEYS: 'sb_secret_new_key=service_role', MESSAGE_MAX_BYTES: '300' });
      stop = true;
      await Promise.all(traffic);
      assert.deepEqual([...outcomes.keys()], [200]);

      assert.equal((await by('sb_secret_new_key')).status, 200);
      assert.equal((await by('sb_secret_old_key')).status, 401);
      assert.equal((await by('sb_secret_new_key', line('m'.repeat(200)))).status, 200);
    } finally {
      await system.stop();
    }
  });

  test('bad settings are refused as a whole and the old ones stay', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'off' }, settings: { API_KEYS: 'sb_secret_old_key=service_role' },
    });
    try {
      const from = system.program.child.text.length;
      system.program.writeSettings({ API_KEYS: 'sb_secret_new_key=service_role', AI_TIMEOUT_MS: 'soon' });
      system.program.kill('SIGHUP');
      const [said] = await system.program.child.sees(/^.*level=(?:warn|error) .*AI_TIMEOUT_MS.*$/m, { from });
      assert.ok(!said.includes('sb_secret'));
      assert.equal((await system.post(line(), { headers: { apikey: 'sb_secret_old_key' } })).status, 200);
      assert.equal((await system.post(line(), { headers: { apikey: 'sb_secret_new_key' } })).status, 401);
    } finally {
      await system.stop();
    }
  });

  test('the model server can be changed', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_ON_ERROR: 'fail', AI_BREAKER: 'off' },
      settings: { AI_API_KEY: 'first-key', AI_MODEL: 'first-model' },
    });
    try {
      system.model.notBuyer();
      await system.post(line());
      assert.equal(system.model.requests[0].headers.authorization, 'Bearer first-key');
      assert.equal(system.model.requests[0].json.model, 'first-model');
      await system.program.reload({ AI_API_KEY: 'second-key', AI_MODEL: 'second-model' });
      await system.post(line());
      assert.equal(system.model.requests[1].headers.authorization, 'Bearer second-key');
      assert.equal(system.model.requests[1].json.model, 'second-model');
    } finally {
      await system.stop();
    }
  });
});

describe('SIGTERM', () => {
  test('requests that were taken are answered, and what was answered 200 is stored', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_ON_ERROR: 'fail', AI_BREAKER: 'off' },
    });
    try {
      system.model.buyer({ delayMs: 500 });
      const posts = Array.from({ length: 40 }, (_, n) => system.post(line(`drain ${n}`, { messageId: randomUUID() })));
      await until('all to be with the model', () => system.model.requests.length === 40);
      system.program.kill('SIGTERM');
      const answers = await Promise.all(posts);
      for (const answer of answers) assert.equal(answer.status, 200, answer.body);
      const ended = await system.program.child.ended;
      assert.equal(ended.code, 0, ended.text.slice(-2000));
      const { rows: [{ n }] } = await system.db.query('select count(*)::int as n from public.sales_captured');
      assert.equal(n, 40);
    } finally {
      await system.stop();
    }
  });

  test('idle kept connections do not hold up the end', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off', DRAIN_MS: '8000' } });
    try {
      await Promise.all(Array.from({ length: 32 }, (_, n) => system.post(line(`${n}`))));
      const began = performance.now();
      const ended = await system.program.child.stop('SIGTERM');
      assert.equal(ended.code, 0, ended.text.slice(-2000));
      const took = performance.now() - began;
      assert.ok(took < 3000, `${Math.round(took)} ms`);
    } finally {
      await system.stop();
    }
  });

  test('a model that hangs holds up the end for DRAIN_MS at most', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_ON_ERROR: 'fail', DRAIN_MS: '1000', AI_TIMEOUT_MS: '30000' },
    });
    try {
      system.model.hang();
      const post = system.post(line());
      await until('the model to be asked', () => system.model.requests.length === 1);
      const began = performance.now();
      await system.program.child.stop('SIGTERM');
      const took = performance.now() - began;
      assert.ok(took >= 500 && took < 4000, `${Math.round(took)} ms`);
      const answer = await post;
      assert.ok([502, 503, 504].includes(answer.status), `${answer.status}`);
    } finally {
      await system.stop({ unclean: true });
    }
  });

  test('a second signal ends it at once with 1', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', DRAIN_MS: '20000', AI_TIMEOUT_MS: '30000' },
    });
    try {
      system.model.hang();
      const post = system.post(line()).catch((error) => error);
      await until('the model to be asked', () => system.model.requests.length === 1);
      const from = system.program.child.text.length;
      system.program.kill('SIGTERM');
      await system.program.child.sees(/event=\w*(drain|stop|shutdown)\w*/, { from });
      const ended = await system.program.child.stop('SIGTERM', 5000);
      assert.equal(ended.code, 1, ended.text.slice(-2000));
      await post;
    } finally {
      await system.stop({ unclean: true });
    }
  });
});

describe('logs', () => {
  test('are logfmt, one event a line, without chat text, keys or query strings', async () => {
    const system = await startSystem({
      env: {
        ANALYZER: 'gateway', AI_API_KEY: 'very-secret-ai-key', API_KEYS: 'sb_secret_log_test=service_role',
        AI_ON_ERROR: 'local', AI_BREAKER: 'off', RATE_ANON_PER_S: '1', RATE_BURST_FACTOR: '1',
      },
    });
    try {
      const secretText = 'wort-das-nirgends-steht';
      const name = 'name_that_is_private';
      const good = await token();
      const body = { message: secretText, username: name, streamSessionId: SESSION };
      system.model.buyer();
      await system.post(body, { token: good, path: '/functions/v1/monitor-realtime-stream?apikey=query-secret&jwt=query-token' });
      await system.post(body, { headers: { apikey: 'sb_secret_log_test' } });
      await system.post(body, { token: await token({ exp: 1 }) });
      await system.post(`{"message":"${secretText}`, { token: good });
      await system.post({ ...body, streamSessionId: randomUUID() });
      await system.post({ ...body, streamSessionId: secretText });
      system.model.reply({ status: 500, body: `{"error":"${secretText}"}` });
      await system.post(body);
      system.model.reply({ status: 200, body: secretText });
      await system.post(body);
      await system.db.query(`
        create function public.test_raise() returns trigger language plpgsql as
          $$ begin raise exception 'row was %', new.message using errcode = 'XX000'; end $$;
        create trigger test_raise before insert on public.chat_messages
          for each row execute function public.test_raise()`);
      await system.post(body);
      const anon = await token({ role: 'anon' });
      for (let i = 0; i < 4; i++) await system.post(body, { token: anon });
      await system.program.child.stop('SIGTERM');

      const lines = system.program.logs().trimEnd().split('\n');
      assert.ok(lines.length >= 3);
      for (const each of lines) {
        assert.match(each, /^ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warn|error) prog=monitor-realtime-stream event=[a-z_]+( [a-zA-Z_]+=("([^"\\]|\\.)*"|[^ "]*))*$/);
      }
      const all = system.program.logs() + system.nginx.logs();
      for (const secret of [secretText, name, 'very-secret-ai-key', 'sb_secret_log_test', 'query-secret', 'query-token', JWT_SECRET, good.split('.')[2]]) {
        assert.ok(!all.includes(secret), `logged: ${all.split('\n').find((each) => each.includes(secret))}`);
      }
    } finally {
      await system.stop({ unclean: true });
    }
  });
});

describe('every answer', () => {
  let system;
  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'off', MESSAGE_MAX_BYTES: '1000', USERNAME_MAX_BYTES: '64' } });
  });
  after(() => system?.stop());

  test('has an sb-request-id of its own, a UUID', async () => {
    const seen = new Set();
    const answers = [
      await system.post(line()), await system.post(line()), await system.post({}),
      await system.post(line(), { headers: {} }),
      await system.request('/functions/v1/monitor-realtime-stream', { method: 'OPTIONS' }),
      await system.request('/functions/v1/monitor-realtime-stream', { method: 'DELETE' }),
      await system.request('/functions/v1/unknown', { method: 'POST', body: '{}' }),
      await system.post(line(), { headers: { 'sb-request-id': 'chosen-by-the-client' } }),
    ];
    for (const answer of answers) {
      const id = answer.headers['sb-request-id'];
      assert.match(id ?? '', UUID, `${answer.status}`);
      assert.ok(!seen.has(id), 'never twice');
      seen.add(id);
    }
  });

  test('failures carry sb-error-code and the usual body', async () => {
    const sent = [
      [await system.post('{'), 400], [await system.post(line(' ')), 400],
      [await system.post(line('x', { streamSessionId: randomUUID() })), 404],
      [await system.post(line('x'.repeat(1001))), 413],
      [await system.post(line('x', { username: 'u'.repeat(65) })), 413],
    ];
    for (const [answer, status] of sent) {
      assert.equal(answer.status, status, answer.body);
      assert.match(answer.headers['sb-error-code'] ?? '', /^[A-Z_]+$/);
      assert.deepEqual(Object.keys(JSON.parse(answer.body)), ['error', 'success']);
    }
  });

  test('limits count bytes of UTF-8 and let the last byte pass', async () => {
    assert.equal((await system.post(line('x'.repeat(1000)))).status, 200);
    assert.equal((await system.post(line('ü'.repeat(500)))).status, 200);
    assert.equal((await system.post(line('ü'.repeat(501)))).status, 413);
    assert.equal((await system.post(line('x', { username: 'u'.repeat(64) }))).status, 200);
  });

  test('a body at the limit passes, one above gets JSON 413, with or without a length', async () => {
    const pad = (total) => {
      const empty = JSON.stringify(line('x', { padding: '' }));
      return JSON.stringify(line('x', { padding: 'p'.repeat(total - empty.length) }));
    };
    assert.equal((await system.post(pad(65536))).status, 200);
    for (const size of [65537, 200_000, 2_000_000]) {
      const answer = await system.post(pad(size));
      assert.equal(answer.status, 413, `${size}`);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(JSON.parse(answer.body).success, false);
    }
    const chunked = await fetch(`${system.url}/functions/v1/monitor-realtime-stream`, {
      method: 'POST', duplex: 'half',
      headers: { authorization: `Bearer ${await token()}` },
      body: new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode(pad(65537)));
          controller.close();
        },
      }),
    });
    assert.equal(chunked.status, 413);
    const whole = await fetch(`${system.url}/functions/v1/monitor-realtime-stream`, {
      method: 'POST', duplex: 'half',
      headers: { authorization: `Bearer ${await token()}` },
      body: new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode(JSON.stringify(line('chunked'))));
          controller.close();
        },
      }),
    });
    assert.equal(whole.status, 200, 'a chunked body is fine');
  });

  test('nesting bombs are refused and harm nobody', async () => {
    const bombs = [
      '['.repeat(60_000), '{"a":'.repeat(12_000), `{"message":"x","username":"u","streamSessionId":"${SESSION}","z":${'['.repeat(2047)}${']'.repeat(2047)}}`,
      `${'['.repeat(30_000)}${']'.repeat(30_000)}`,
    ];
    for (const bomb of bombs) {
      const answer = await system.post(bomb);
      assert.ok([200, 400].includes(answer.status), `${answer.status}`);
    }
    assert.equal((await system.post(line())).status, 200);
  });

  test('a byte order mark, odd numbers and long keys elsewhere are tolerated', async () => {
    const text = JSON.stringify(line('bom'));
    const extras = ['"n":1e400', '"n":99999999999999999999999', '"n":-1e-400', '"n":0.1e+2', `"${'k'.repeat(5000)}":null`];
    assert.equal((await system.post(`\ufeff${text}`)).status, 200);
    for (const extra of extras) {
      assert.equal((await system.post(`${text.slice(0, -1)},${extra}}`)).status, 200, extra.slice(0, 40));
    }
  });

  test('a full queue of the store refuses with Retry-After instead of growing', async () => {
    const small = await startSystem({ env: { ANALYZER: 'off', STORE_QUEUE_MAX: '4', STORE_TIMEOUT_MS: '2000' } });
    try {
      await small.db.query('begin');
      await small.db.query('lock table public.chat_messages in access exclusive mode');
      const posts = Array.from({ length: 40 }, (_, n) => small.post(line(`queue ${n}`)));
      const first = await Promise.race(posts);
      assert.ok([429, 503].includes(first.status), `${first.status}`);
      await small.db.query('rollback');
      const answers = await Promise.all(posts);
      const refused = answers.filter((each) => each.status !== 200);
      assert.ok(refused.length > 0);
      for (const answer of refused) {
        assert.ok([429, 503].includes(answer.status), `${answer.status}`);
        assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      }
      await until('it to work again', async () => (await small.post(line('after'))).status === 200);
      const { rows: [{ n }] } = await small.db.query("select count(*)::int as n from public.chat_messages where message like 'queue%'");
      assert.ok(n >= answers.length - refused.length);
    } finally {
      await small.stop();
    }
  });

  test('a database that hangs costs STORE_TIMEOUT_MS, not for ever', async () => {
    const slow = await startSystem({ env: { ANALYZER: 'off', STORE_TIMEOUT_MS: '700' } });
    try {
      await slow.db.query('begin');
      await slow.db.query('lock table public.chat_messages in access exclusive mode');
      const answer = await slow.post(line('held up'));
      assert.equal(answer.status, 503, answer.body);
      assert.match(answer.headers['retry-after'] ?? '', /^[1-9]\d*$/);
      assert.ok(answer.ms < 3000, `${answer.ms} ms`);
      await slow.db.query('rollback');
      await until('it to work again', async () => (await slow.post(line('after'))).status === 200);
    } finally {
      await slow.stop();
    }
  });
});
