// What nginx itself answers, from the real templates: every status it can make is JSON with the CORS
// headers, the program's own answers pass untouched, and no key reaches a log.
// Needs: nginx, sh, sed. The programs behind it are a small FastCGI responder and a small HTTP and
// WebSocket server in this file.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, openSync, readFileSync, readdirSync,
         rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const FUNCTION = '/functions/v1/monitor-realtime-stream';
const SECRET = 'k3y-that-must-not-be-logged';
const FOUR = 'authorization, x-client-info, apikey, content-type';
const NOBODY = 65534;

let dir, port, nginx, backend, admin, scraper;
let seen = []; // parameters of the requests that reached the program
let scraped = []; // requests that reached the scraper

// --- a FastCGI responder ------------------------------------------------------------------------
function record(type, id, content) {
    const head = Buffer.alloc(8);
    head.writeUInt8(1, 0);
    head.writeUInt8(type, 1);
    head.writeUInt16BE(id, 2);
    head.writeUInt16BE(content.length, 4);
    return Buffer.concat([head, content]);
}

function parseParams(bytes) {
    const params = {};
    let at = 0;
    const length = () => {
        if (bytes[at] < 128)
            return bytes[at++];
        at += 4;
        return bytes.readUInt32BE(at - 4) & 0x7fffffff;
    };
    while (at < bytes.length) {
        const nameLength = length(), valueLength = length();
        const name = bytes.toString('latin1', at, at + nameLength);
        params[name] = bytes.toString('latin1', at + nameLength, at + nameLength + valueLength);
        at += nameLength + valueLength;
    }
    return params;
}

function onRequest(socket, id, params, body) {
    seen.push(params);
    const order = body.toString('latin1', 0, 20); // the body says how to behave
    if (order === 'hang')
        return;
    if (order === 'drop')
        return socket.destroy();
    const status = order === 'own-503' ? 503 : order === 'own-400' ? 400 : 200;
    const text = `{"status":${status},"bytes":${body.length}}`;
    const answer = `Status: ${status}\r\ncontent-type: application/json\r\n` +
        `content-length: ${text.length}\r\naccess-control-allow-origin: *\r\n` +
        `access-control-allow-headers: ${FOUR}\r\nsb-request-id: from-the-program\r\n\r\n${text}`;
    socket.write(Buffer.concat([
        record(6, id, Buffer.from(answer)), record(6, id, Buffer.alloc(0)),
        record(3, id, Buffer.alloc(8)),
    ]));
}

function serveFastcgi(socket) {
    let pending = Buffer.alloc(0), params = [], body = [];
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
        pending = Buffer.concat([pending, chunk]);
        while (pending.length >= 8) {
            const size = pending.readUInt16BE(4), total = 8 + size + pending[6];
            if (pending.length < total)
                return;
            const type = pending[1], id = pending.readUInt16BE(2);
            const content = pending.subarray(8, 8 + size);
            pending = pending.subarray(total);
            if (type === 1) {
                params = [];
                body = [];
            } else if (type === 4) {
                params.push(content);
            } else if (type === 5 && size > 0) {
                body.push(content);
            } else if (type === 5) {
                onRequest(socket, id, parseParams(Buffer.concat(params)), Buffer.concat(body));
            }
        }
    });
}

// --- harness ------------------------------------------------------------------------------------
async function freePort() {
    const server = net.createServer().listen(0, '127.0.0.1');
    await new Promise((ready) => server.once('listening', ready));
    const { port: number } = server.address();
    await new Promise((closed) => server.close(closed));
    return number;
}

function listen(server, path) {
    return new Promise((ready) => server.listen(path, () => {
        chmodSync(path, 0o777);
        ready(server);
    }));
}

function stop(server) {
    for (const socket of server.sockets ?? [])
        socket.destroy();
    server.closeAllConnections?.();
    return new Promise((closed) => server.close(closed));
}

async function startBackend() {
    backend = net.createServer(serveFastcgi);
    backend.sockets = new Set();
    backend.on('connection', (socket) => backend.sockets.add(socket));
    await listen(backend, join(dir, 'monitor.sock'));
}

// A scraper that answers with what it was asked; an upgraded connection sends every byte back.
function makeScraper() {
    const note = (request) => {
        const { host, connection, upgrade, authorization } = request.headers;
        scraped.push({ method: request.method, url: request.url, host, connection, upgrade,
                       authorization, from: request.headers['x-forwarded-for'],
                       protocol: request.headers['sec-websocket-protocol'] });
    };
    const server = http.createServer((request, response) => {
        note(request);
        if (request.url === '/api/drop') {
            request.socket.destroy();
            return;
        }
        response.setHeader('content-type', 'application/json');
        response.setHeader('access-control-allow-origin', 'https://app.example.com');
        response.statusCode = request.url.startsWith('/api/missing') ? 404 : 200;
        response.end(`{"path":"${request.url}"}`);
    });
    server.on('upgrade', (request, socket) => {
        note(request);
        socket.on('error', () => {});
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
            'Connection: Upgrade\r\nSec-WebSocket-Accept: as-told\r\n\r\n');
        socket.pipe(socket);
    });
    server.sockets = new Set();
    server.on('connection', (socket) => server.sockets.add(socket));
    return server;
}

async function startScraper() {
    scraper = makeScraper();
    await listen(scraper, join(dir, 'scraper.sock'));
}

/** Opens a WebSocket as a browser would; resolves with the answer's head and the raw connection. */
function upgrade(path, headers = {}) {
    const lines = { Host: 'door.example', Connection: 'keep-alive, Upgrade', Upgrade: 'websocket',
                    'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
                    'Sec-WebSocket-Protocol': `bearer.${SECRET}`, ...headers };
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    return new Promise((done, failed) => {
        const socket = net.connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\n${head}\r\n`));
        let text = '';
        const timer = setTimeout(() => failed(new Error(`no answer to ${path}: ${text}`)), 5000);
        socket.on('error', failed);
        socket.on('data', function collect(part) {
            text += part.toString('latin1');
            if (!text.includes('\r\n\r\n'))
                return;
            clearTimeout(timer);
            socket.off('data', collect);
            done({ head: text.split('\r\n\r\n')[0], socket });
        });
    });
}

function render(extra) {
    execFileSync(join(root, 'nginx', 'render'), [join(dir, 'conf')], {
        env: {
            ...process.env, HTTP_BIND: '127.0.0.1', HTTP_PORT: String(port),
            FCGI_SOCKET: join(dir, 'monitor.sock'), METRICS_LISTEN: join(dir, 'admin.sock'),
            SCRAPER_LISTEN: join(dir, 'scraper.sock'), HTTP_ACCESS_LOG: 'all', HTTP_ACCESS_LOG_FILE: join(dir, 'log', 'access.log'),
            HTTP_CLIENT_TIMEOUT: '1s', FCGI_READ_TIMEOUT: '1s', ...extra,
        },
    });
    giveAway(join(dir, 'conf'));
}

function giveAway(path) { // nginx runs unprivileged here too
    if (process.getuid() === 0)
        execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, path]);
}

async function until(what, condition, timeoutMs = 5000) {
    const end = Date.now() + timeoutMs;
    for (;;) {
        if (await condition())
            return;
        assert.ok(Date.now() < end, `waited ${timeoutMs} ms for ${what}`);
        await delay(20);
    }
}

function portOpen() {
    return new Promise((done) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('connect', () => { socket.destroy(); done(true); });
        socket.on('error', () => done(false));
    });
}

async function startNginx(extra = {}) {
    render(extra);
    const as = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    nginx = spawn('nginx', ['-p', join(dir, 'conf'), '-c', join(dir, 'conf', 'nginx.conf'),
                            '-g', 'daemon off;'],
                  { stdio: ['ignore', 'ignore', openSync(join(dir, 'log', 'error.log'), 'a')], ...as });
    nginx.on('error', (why) => assert.fail(`nginx does not start: ${why.message}`));
    nginx.gone = new Promise((gone) => nginx.once('exit', gone));
    await until('nginx to listen', portOpen);
}

async function stopNginx() {
    nginx.kill('SIGTERM');
    await nginx.gone;
}

/** Sends raw bytes; gives everything that came until the server closed. */
function raw(bytes, timeoutMs = 6000) {
    return new Promise((done, failed) => {
        const socket = net.connect(port, '127.0.0.1');
        const parts = [];
        const timer = setTimeout(() => {
            socket.destroy();
            failed(new Error(`no end of the answer within ${timeoutMs} ms: ${Buffer.concat(parts)}`));
        }, timeoutMs);
        socket.on('data', (part) => parts.push(part));
        socket.on('error', () => {}); // a reset after the answer still ends in close
        socket.on('close', () => {
            clearTimeout(timer);
            done(Buffer.concat(parts).toString('latin1'));
        });
        socket.write(bytes);
    });
}

function parse(text) {
    const [head, ...rest] = text.split('\r\n\r\n');
    const [statusLine, ...lines] = head.split('\r\n');
    const headers = {};
    for (const line of lines) {
        const name = line.slice(0, line.indexOf(':')).toLowerCase();
        assert.ok(!(name in headers), `header ${name} comes twice:\n${head}`);
        headers[name] = line.slice(line.indexOf(':') + 1).trim();
    }
    return { status: Number(statusLine.split(' ')[1]), headers, body: rest.join('\r\n\r\n') };
}

async function ask(method, path, { headers = {}, body = '' } = {}) {
    const lines = { Host: 'localhost', Connection: 'close', Authorization: `Bearer ${SECRET}`,
                    apikey: SECRET, ...headers };
    if (body !== '' || method === 'POST')
        lines['Content-Length'] ??= Buffer.byteLength(body);
    const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`).join('');
    return parse(await raw(`${method} ${path} HTTP/1.1\r\n${head}\r\n${body}`));
}

function assertOurs(answer, status, body) {
    assert.equal(answer.status, status);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.ok(answer.headers['access-control-allow-headers'].startsWith(FOUR));
    assert.match(answer.headers['sb-request-id'],
                 /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(answer.headers.server, 'nginx');
    assert.equal(Number(answer.headers['content-length']), Buffer.byteLength(answer.body));
    assert.equal(answer.body, body);
}

const failure = (text) => `{"error":"${text}","success":false}`;
const BOOT = '{"code":"BOOT_ERROR","message":"Function failed to start (please check logs)"}';
const UNKNOWN = '{"code":"NOT_FOUND","message":"Requested function was not found"}';

before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'df-nginx-'));
    chmodSync(dir, 0o755);
    mkdirSync(join(dir, 'log'));
    if (process.getuid() === 0)
        chownSync(join(dir, 'log'), NOBODY, NOBODY);
    port = await freePort();
    await startBackend();
    admin = http.createServer((request, response) => {
        response.setHeader('content-type', 'application/json');
        response.setHeader('access-control-allow-origin', '*');
        const text = `{"path":"${request.url}","auth":${'authorization' in request.headers}}`;
        response.setHeader('content-length', text.length);
        response.end(text);
    });
    await listen(admin, join(dir, 'admin.sock'));
    await startScraper();
    await startNginx();
});

after(async () => {
    await stopNginx();
    await stop(backend);
    await stop(admin);
    await stop(scraper);
    rmSync(dir, { recursive: true, force: true });
});

// --- the program's own answers ------------------------------------------------------------------
test('a request reaches the program with only the parameters it reads', async () => {
    seen = [];
    const answer = await ask('POST', `${FUNCTION}?apikey=${SECRET}`, {
        headers: { Proxy: 'http://evil.example', 'User-Agent': 'x', traceparent: '00-a-b-01' },
        body: '{"a":1}',
    });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"status":200,"bytes":7}');
    assert.equal(seen.length, 1);
    assert.deepEqual(seen[0], {
        REQUEST_METHOD: 'POST', CONTENT_LENGTH: '7',
        REMOTE_ADDR: '127.0.0.1', HTTP_AUTHORIZATION: `Bearer ${SECRET}`, HTTP_APIKEY: SECRET,
        HTTP_TRACEPARENT: '00-a-b-01',
    });
});

test('paths below the function belong to it', async () => {
    assert.equal((await ask('POST', `${FUNCTION}/any/thing`, { body: '{}' })).status, 200);
    assert.equal((await ask('OPTIONS', FUNCTION)).status, 200);
});

test('errors of the program pass through untouched', async () => {
    for (const status of [400, 503]) {
        const answer = await ask('POST', FUNCTION, { body: `own-${status}` });
        assert.equal(answer.status, status);
        assert.equal(answer.body, `{"status":${status},"bytes":7}`);
        assert.equal(answer.headers['sb-request-id'], 'from-the-program');
    }
});

test('a body of exactly the limit passes, chunked bodies too', async () => {
    const answer = await ask('POST', FUNCTION, { body: 'x'.repeat(65536) });
    assert.equal(answer.body, '{"status":200,"bytes":65536}');
    const chunked = parse(await raw(`POST ${FUNCTION} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n` +
        'Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n'));
    assert.equal(chunked.body, '{"status":200,"bytes":4}');
});

// --- nginx's own --------------------------------------------------------------------------------
test('unknown functions get the hosted body', async () => {
    for (const path of ['/functions/v1', '/functions/v1/', '/functions/v1/nope',
                        `${FUNCTION}x`, '/functions/v1/nope.html']) {
        const answer = await ask('POST', path, { body: '{}' });
        assertOurs(answer, 404, UNKNOWN);
        assert.equal(answer.headers['sb-error-code'], 'NOT_FOUND');
    }
});

test('any other path is a JSON 404', async () => {
    for (const path of ['/', '/index.html', '/metrics', '/_dealflow/error', '/_dealflow/boot'])
        assertOurs(await ask('GET', path), 404, failure('Not found'));
});

test('/healthz answers by itself, /readyz asks the program without passing keys on', async () => {
    assertOurs(await ask('GET', '/healthz'), 200, '{"status":"ok"}');
    const ready = await ask('GET', '/readyz');
    assert.equal(ready.status, 200);
    assert.equal(ready.body, '{"path":"/readyz","auth":false}');
    assert.equal(ready.headers['access-control-allow-origin'], '*');
});

test('a bad request line is a JSON 400', async () => {
    assertOurs(parse(await raw('GET\x01 / HTTP/1.1\r\n\r\n')), 400, failure('Bad request'));
    assertOurs(parse(await raw('get / HTTP/1.1\r\nHost: a\r\n\r\n')), 400, failure('Bad request'));
    assertOurs(parse(await raw('GET / HTTP/1.1\r\n\r\n')), 400, failure('Bad request')); // no Host
    assertOurs(parse(await raw(`POST ${FUNCTION} HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n`)),
               400, failure('Bad request'));
});

test('a header line that is too long is a JSON 400', async () => {
    assertOurs(await ask('POST', FUNCTION, { headers: { Cookie: 'x'.repeat(9000) } }), 400,
               failure('Bad request'));
});

test('a URI that is too long is a JSON 414', async () => {
    const answer = await ask('GET', `${FUNCTION}?apikey=${SECRET}${'x'.repeat(9000)}`);
    assertOurs(answer, 414, failure('Request URI too long'));
});

test('TRACE and CONNECT are a JSON 405 that names the methods', async () => {
    const trace = await ask('TRACE', FUNCTION);
    assertOurs(trace, 405, failure('Method not allowed'));
    assert.equal(trace.headers.allow, 'POST, OPTIONS');
    assertOurs(await ask('CONNECT', FUNCTION), 405, failure('Method not allowed'));
    // A target that is no path is refused before the method is looked at.
    assertOurs(parse(await raw('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n')), 400,
               failure('Bad request'));
});

test('a body over the limit is a JSON 413', async () => {
    const text = failure('Request body too large (at most 65536 bytes)');
    assertOurs(await ask('POST', FUNCTION, { body: 'x'.repeat(65537) }), 413, text);
    const size = (70000).toString(16);
    const chunked = await raw(`POST ${FUNCTION} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n` +
        `Transfer-Encoding: chunked\r\n\r\n${size}\r\n${'x'.repeat(70000)}\r\n0\r\n\r\n`);
    assertOurs(parse(chunked), 413, text);
});

test('an HTTP version of the future is a JSON 505', async () => {
    assertOurs(parse(await raw('GET / HTTP/3.0\r\nHost: a\r\n\r\n')), 505,
               failure('HTTP version not supported'));
});

test('a client that stops sending is cut off without an answer', async () => {
    // nginx ends a timed-out read itself; no 408 reaches a client.
    assert.equal(await raw('POST /functions'), '');
    assert.equal(await raw(`POST ${FUNCTION} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc`), '');
});

test('a program that stays silent is a JSON 504', async () => {
    const answer = await ask('POST', FUNCTION, { body: 'hang' });
    assertOurs(answer, 504, failure('Gateway timed out'));
    assert.equal(answer.headers['sb-error-code'], 'TIMEOUT');
});

test('a program that breaks off is a BOOT_ERROR, and is asked only once', async () => {
    seen = [];
    const answer = await ask('POST', FUNCTION, { body: 'drop' });
    assertOurs(answer, 503, BOOT);
    assert.equal(answer.headers['sb-error-code'], 'BOOT_ERROR');
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal(seen.length, 1);
});

test('without a program the function is a BOOT_ERROR until it is back', async () => {
    await stop(backend);
    await stop(admin);
    for (const method of ['POST', 'OPTIONS']) {
        const answer = await ask(method, FUNCTION);
        assertOurs(answer, 503, BOOT);
        assert.equal(answer.headers['sb-error-code'], 'BOOT_ERROR');
        assert.equal(answer.headers['retry-after'], '1');
    }
    const ready = await ask('GET', '/readyz');
    assertOurs(ready, 503, failure('Service unavailable'));
    assert.equal(ready.headers['retry-after'], '1');
    assertOurs(await ask('GET', '/healthz'), 200, '{"status":"ok"}');
    await startBackend();
    await listen(admin, join(dir, 'admin.sock'));
    assert.equal((await ask('POST', FUNCTION, { body: '{}' })).status, 200);
});

// --- the scraper --------------------------------------------------------------------------------
test('/scraper/ reaches the daemon without that prefix, and its answers pass untouched', async () => {
    scraped = [];
    const answer = await ask('GET', '/scraper/api/streams?a=b%2Fc', {
        headers: { Host: 'door.example', 'X-Forwarded-For': '6.6.6.6', Upgrade: 'h2c' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.body, '{"path":"/api/streams?a=b%2Fc"}');
    assert.equal(answer.headers['access-control-allow-origin'], 'https://app.example.com');
    assert.deepEqual(scraped, [{
        method: 'GET', url: '/api/streams?a=b%2Fc', host: 'door.example', connection: 'close',
        upgrade: undefined, authorization: `Bearer ${SECRET}`, from: '127.0.0.1', protocol: undefined,
    }]);
    const missing = await ask('POST', '/scraper/api/missing', { body: '{}' });
    assert.equal(missing.status, 404);
    assert.equal(missing.body, '{"path":"/api/missing"}');
    for (const path of ['/scraper', '/scraper/'])
        assert.equal((await ask('GET', path)).body, '{"path":"/"}');
});

test('a WebSocket passes through in both directions and outlives every time-out of a request', async () => {
    for (const [path, there] of [['/scraper', '/'], ['/scraper/', '/'], ['/scraper/ws', '/ws']]) {
        scraped = [];
        const { head, socket } = await upgrade(path);
        assert.match(head, /^HTTP\/1\.1 101 /, path);
        assert.equal(scraped[0].url, there);
        assert.equal(scraped[0].upgrade, 'websocket');
        assert.equal(scraped[0].protocol, `bearer.${SECRET}`);
        if (path === '/scraper/ws')
            await delay(1500); // the time-outs of this nginx are 1 s
        const echo = new Promise((done) => socket.once('data', (part) => done(part.toString())));
        socket.write('W, said the buyer');
        assert.equal(await echo, 'W, said the buyer');
        socket.destroy();
    }
});

test('only a WebSocket is an upgrade, and only where the daemon has one', async () => {
    scraped = [];
    for (const [path, wanted] of [['/scraper/', 'h2c'], ['/scraper/api/streams', 'websocket']]) {
        const { head, socket } = await upgrade(path, { Upgrade: wanted });
        assert.match(head, /^HTTP\/1\.1 200 /, path);
        socket.destroy();
    }
    assert.deepEqual(scraped.map(({ connection, upgrade: kind }) => [connection, kind]),
                     [['close', undefined], ['close', undefined]]);
});

test("the daemon's metrics are nobody's business, however they are spelled", async () => {
    scraped = [];
    for (const path of ['/scraper/metrics', '/scraper/metrics/', '/scraper//metrics', '/scraper/%6detrics',
                        '/scraper/api/../metrics', '/scraper/./metrics?x', '/scraper/ws/../metrics'])
        assertOurs(await ask('GET', path), 404, failure('Not found'));
    assert.deepEqual(scraped, []);
});

test('a body over 64 KiB is a JSON 413 for the scraper too', async () => {
    assert.equal((await ask('POST', '/scraper/api/x', { body: 'x'.repeat(65536) })).status, 200);
    assertOurs(await ask('POST', '/scraper/api/x', { body: 'x'.repeat(65537) }), 413,
               failure('Request body too large (at most 65536 bytes)'));
});

test('a daemon that breaks off is a JSON 503, and is asked only once', async () => {
    scraped = [];
    assertOurs(await ask('POST', '/scraper/api/drop', { body: '{}' }), 503, failure('Service unavailable'));
    assert.equal(scraped.length, 1);
});

test('without the daemon /scraper/ is a JSON 503 until it is back, and the rest goes on', async () => {
    await stop(scraper);
    for (const path of ['/scraper', '/scraper/', '/scraper/ws', '/scraper/health', '/scraper/api/streams']) {
        const answer = await ask('GET', path);
        assertOurs(answer, 503, failure('Service unavailable'));
        assert.equal(answer.headers['sb-error-code'], 'UNAVAILABLE');
        assert.equal(answer.headers['retry-after'], '1');
    }
    assert.equal((await ask('GET', '/readyz')).status, 200);
    assert.equal((await ask('POST', FUNCTION, { body: '{}' })).status, 200);
    await startScraper();
    assert.equal((await ask('GET', '/scraper/health')).body, '{"path":"/health"}');
});

test('a door without SCRAPER_LISTEN knows no /scraper/', async () => {
    await stopNginx();
    await startNginx({ SCRAPER_LISTEN: '' });
    for (const path of ['/scraper', '/scraper/', '/scraper/ws', '/scraper/api/streams'])
        assertOurs(await ask('GET', path), 404, failure('Not found'));
    await stopNginx();
    await startNginx();
});

test('an address that asks too often is a JSON 429', async () => {
    await stopNginx();
    await startNginx({ HTTP_RATE: '1r/s', HTTP_UNLIMITED: '-' });
    const answers = [];
    for (let i = 0; i < 5; i++)
        answers.push(await ask('POST', FUNCTION, { body: '{}' }));
    const refused = answers.filter((answer) => answer.status === 429);
    assert.equal(answers[0].status, 200);
    assert.ok(refused.length >= 1, 'none was refused');
    assertOurs(refused[0], 429, failure('Too many requests'));
    assert.equal(refused[0].headers['retry-after'], '1');
    assert.equal(refused[0].headers['sb-error-code'], 'RATE_LIMITED');
});

test('no key is in any log', async () => {
    await stopNginx(); // writes its buffers
    let lines = 0;
    for (const name of readdirSync(join(dir, 'log'))) {
        const text = readFileSync(join(dir, 'log', name), 'utf8');
        assert.ok(!text.includes(SECRET), `${name} holds a key`);
        assert.ok(!text.includes('apikey'), `${name} holds a query string`);
        lines += text.split('\n').length;
        assert.ok(!text.includes('said the buyer'), `${name} holds chat`);
        if (name === 'access.log') {
            assert.match(text, /method=POST path="\/functions\/v1\/monitor-realtime-stream" status=200 /);
            assert.match(text, /method=GET path="\/scraper\/ws" status=101 /);
        }
    }
    assert.ok(lines > 20, `only ${lines} lines were written: the check would prove nothing`);
    await startNginx();
});

test('render refuses values that would end up as configuration', () => {
    const run = (env) => () => execFileSync(join(root, 'nginx', 'render'), [join(dir, 'bad')],
        { env: { ...process.env, FCGI_SOCKET: '/a', METRICS_LISTEN: '/b', ...env }, stdio: 'pipe' });
    assert.throws(run({ HTTP_PORT: '80; bad' }), /HTTP_PORT must be a number/);
    assert.throws(run({ FCGI_SOCKET: '/a; }' }), /characters nginx would misread/);
    assert.throws(run({ SCRAPER_LISTEN: '127.0.0.1:1; }' }), /characters nginx would misread/);
    assert.throws(run({ HTTP_UNLIMITED: '10.0.0.0/8;' }), /is no network/);
    assert.throws(run({ HTTP_ACCESS_LOG: 'some' }), /errors, all or off/);
});
