// The other ways to run the same binary: under spawn-fcgi, by socket activation, as plain CGI behind
// fcgiwrap, and as plain CGI with nothing but an environment.
import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { randomUUID } from 'node:crypto';
import { startSystem, FUNCTION, SESSION } from './lib/system.mjs';
import { baseEnv, binary } from './lib/program.mjs';
import { Child, run } from './lib/process.mjs';
import { token } from './lib/tokens.mjs';
import { accepts, freePort, until } from './lib/wait.mjs';

const BUY = '{"success":true,"analyzed":true,"analysis":{"is_buyer":true,"confidence":0.95,"message_type":"direct_purchase","auto_captured":true}}';
const line = (more = {}) => ({ message: 'I will take it!', username: 'cgi_user', streamSessionId: SESSION, ...more });

// What every way of running has to do.
async function works(system) {
  system.model.buyer();
  const messageId = randomUUID();
  const first = await system.post(line({ messageId }));
  assert.equal(first.status, 200, first.body);
  assert.equal(first.body, BUY);
  assert.equal(first.headers['content-type'], 'application/json');
  assert.match(first.headers['access-control-allow-headers'], /^authorization, x-client-info, apikey, content-type/);
  assert.match(first.headers['sb-request-id'], /^[0-9a-f-]{36}$/);
  const again = await system.post(line({ messageId }));
  assert.equal(again.body, BUY);
  const { rows } = await system.db.query('select id from public.sales_captured');
  assert.deepEqual(rows, [{ id: messageId }]);
  assert.equal((await system.post({})).status, 400);
  assert.equal((await system.post(line(), { headers: {} })).status, 401);
  const options = await system.request(FUNCTION, { method: 'OPTIONS' });
  assert.equal(options.status, 200);
  assert.equal(options.body, 'ok');
  const put = { method: 'PUT', headers: { authorization: `Bearer ${await token()}` } };
  assert.equal((await system.request(FUNCTION, put)).status, 405);
  assert.equal((await system.post(line({ message: 'x'.repeat(60_000) }))).status, 413);
  assert.equal((await system.post('{"message":')).status, 400);
}

const env = { ANALYZER: 'gateway', AI_API_KEY: 'k' };

test('spawn-fcgi: the socket is descriptor 0', async () => {
  let socket;
  const system = await startSystem({
    env: { ...env, FCGI_SOCKET: null }, begin: false,
    launch: (file) => ['spawn-fcgi', ['-n', '-s', socket, '-M', '0600', '--', file]],
  });
  try {
    socket = system.program.socket;
    await system.program.start();
    await system.nginx.start();
    system.url = system.nginx.url;
    await works(system);
    await Promise.all(Array.from({ length: 40 }, () => system.post(line())));
    await system.program.restart(); // a new life on a socket file left behind by spawn-fcgi
    assert.equal((await system.post(line())).status, 200);
  } finally {
    await system.stop();
  }
});

test('socket activation: LISTEN_FDS hands over a port that stays open over a restart', async () => {
  const port = await freePort();
  const listener = net.createServer();
  await new Promise((resolve) => listener.listen(port, '127.0.0.1', 1024, resolve));
  const system = await startSystem({
    env: { ...env, FCGI_SOCKET: null }, begin: false,
    nginx: { FCGI_SOCKET: `127.0.0.1:${port}` },
    // sh knows the pid that LISTEN_PID must name; descriptor 3 is the first that is passed.
    launch: (file) => ['sh', ['-c', 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"', file],
      { stdio: ['ignore', 'pipe', 'pipe', listener._handle.fd] }],
  });
  try {
    await system.program.start();
    await new Promise((resolve) => listener.close(resolve)); // only the program accepts from here on
    await system.nginx.start();
    system.url = system.nginx.url;
    await works(system);
    assert.ok(!fs.existsSync(system.program.socket), 'it opened no socket of its own');
  } finally {
    await system.stop();
  }
});

test('fcgiwrap: one process a request', async () => {
  const system = await startSystem({ env, begin: false });
  let wrapper;
  try {
    const settings = { ...baseEnv, ...system.settings };
    for (const name of ['FCGI_SOCKET', 'METRICS_LISTEN']) delete settings[name];
    wrapper = new Child('fcgiwrap', ['-f', '-s', `unix:${system.program.socket}`], { env: settings });
    await until('fcgiwrap to listen', () => accepts(system.program.socket));
    system.nginx.cgi = { SCRIPT_FILENAME: binary, GATEWAY_INTERFACE: 'CGI/1.1', SERVER_PROTOCOL: '$server_protocol' };
    await system.nginx.start();
    system.url = system.nginx.url;
    await works(system);
    const answers = await Promise.all(Array.from({ length: 6 }, () => system.post(line({ messageId: randomUUID() }))));
    for (const answer of answers) assert.equal(answer.status, 200, answer.body);
    assert.ok(!/Sanitizer|runtime error/.test(wrapper.text + system.nginx.logs()), wrapper.text);
  } finally {
    await wrapper?.stop();
    system.program = undefined; // it never ran by itself
    await system.stop();
  }
});

describe('plain CGI with nothing but an environment', () => {
  // Runs the binary as a CGI server would: {status, headers, body, code}.
  async function cgi(system, method, body, more = {}) {
    const settings = { ...baseEnv, ...system.settings, GATEWAY_INTERFACE: 'CGI/1.1', REQUEST_METHOD: method, REQUEST_URI: FUNCTION, REMOTE_ADDR: '127.0.0.1', ...more };
    if (body !== undefined) settings.CONTENT_LENGTH ??= String(Buffer.byteLength(body));
    for (const name of ['FCGI_SOCKET', 'METRICS_LISTEN']) delete settings[name];
    const child = await run(binary, [], { env: settings, input: body ?? '', timeoutMs: 20_000 });
    assert.ok(!/Sanitizer|runtime error/.test(child.text), child.text);
    const [head, ...rest] = child.stdout.split('\r\n\r\n');
    const headers = Object.fromEntries(head.split('\r\n').map((each) => {
      const at = each.indexOf(':');
      return [each.slice(0, at).toLowerCase(), each.slice(at + 1).trim()];
    }));
    return { status: Number(headers.status?.slice(0, 3) ?? 200), headers, body: rest.join('\r\n\r\n'), code: child.code, text: child.text };
  }

  test('answers one request and ends with 0', async () => {
    const system = await startSystem({ env, begin: false });
    try {
      system.model.buyer();
      const authorization = { HTTP_AUTHORIZATION: `Bearer ${await token()}` };
      const good = await cgi(system, 'POST', JSON.stringify(line()), authorization);
      assert.equal(good.code, 0, good.text);
      assert.equal(good.status, 200);
      assert.equal(good.body, BUY);
      assert.equal(Number(good.headers['content-length']), BUY.length);
      assert.equal((await cgi(system, 'POST', JSON.stringify(line()))).status, 401);
      assert.equal((await cgi(system, 'POST', '', authorization)).status, 400);
      assert.equal((await cgi(system, 'OPTIONS')).body, 'ok');
      assert.equal((await cgi(system, 'PUT', '{}', authorization)).status, 405);
      for (const length of ['', 'abc', '-5', '99999999999999999999', '70000']) {
        const odd = await cgi(system, 'POST', '{}', { ...authorization, CONTENT_LENGTH: length });
        assert.ok([400, 413].includes(odd.status), `CONTENT_LENGTH=${length}: ${odd.status}`);
      }
      const short = await cgi(system, 'POST', '{"message":"x"', { ...authorization, CONTENT_LENGTH: '500' });
      assert.equal(short.status, 400, 'the peer went away inside the body');
      const { rows } = await system.db.query('select id from public.chat_messages');
      assert.equal(rows.length, 1);
    } finally {
      system.program = undefined;
      await system.stop();
    }
  });

  test('says 503 when the database is away and 500 without details when settings are missing', async () => {
    const system = await startSystem({ env, begin: false });
    try {
      const authorization = { HTTP_AUTHORIZATION: `Bearer ${await token()}`, STORE_TIMEOUT_MS: '500' };
      const away = await cgi(system, 'POST', JSON.stringify(line()), { ...authorization, DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' });
      assert.equal(away.status, 503, away.text);
      const broken = await cgi(system, 'POST', JSON.stringify(line()), { ...authorization, AI_TIMEOUT_MS: 'soon' });
      assert.ok(broken.status >= 500 || broken.code !== 0, broken.text);
      assert.ok(!broken.body.includes(authorization.HTTP_AUTHORIZATION));
    } finally {
      system.program = undefined;
      await system.stop();
    }
  });
});
