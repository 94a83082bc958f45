// The commands a person types: up, status, token, down, against the real system in a folder of its
// own. Needs the packages of deploy/packages; the first run builds build/release (or DEALFLOW_BUILD).
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync,
         statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { FakeSite } from './lib/fakestream.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const BUILD_MS = 600_000; // a first build on a busy machine
const SERVICES = ['postgres', 'monitor', 'nginx', 'rest', 'realtime', 'scraper'];
const SCRAPER = SERVICES.indexOf('scraper');

let dir, varDir, env, printed, site;

async function freePort() {
    const server = net.createServer().listen(0, '127.0.0.1');
    await new Promise((ready) => server.once('listening', ready));
    const { port } = server.address();
    await new Promise((closed) => server.close(closed));
    return port;
}

/** Runs a command; resolves with status and output, whatever they are. */
function run(command, args, { extra = {}, timeoutMs = 120_000 } = {}) {
    return new Promise((done) => {
        execFile(command, args, { cwd: root, env: { ...env, ...extra }, timeout: timeoutMs },
                 (why, stdout, stderr) => done({ status: why ? why.code ?? 1 : 0, stdout, stderr }));
    });
}
const deploy = (name, args = [], options = {}) => run(join(root, 'deploy', name), args, options);

async function mustRun(...call) {
    const result = await deploy(...call);
    assert.equal(result.status, 0, `deploy/${call[0]} failed:\n${result.stdout}\n${result.stderr}`);
    return result.stdout;
}

function setting(name) {
    const line = readFileSync(join(varDir, 'env'), 'utf8').split('\n')
        .findLast((text) => text.startsWith(`${name}=`));
    return line?.slice(name.length + 1).replace(/^'(.*)'$/, '$1');
}

/** Asks /rest/v1 at the public door. */
const rest = (where, token) => fetch(`${field('URL')}/rest/v1/${where}`,
    { headers: { apikey: field('anon key'), authorization: `Bearer ${token}` } });

/** Asks the private Postgres as its owner. */
function sql(text) {
    return execFileSync('psql', ['-X', '-A', '-t', '-c', text, setting('DATABASE_ADMIN_URL')],
                        { encoding: 'utf8' }).trim();
}

const field = (name) => printed.match(new RegExp(`^  ${name} +(\\S+)$`, 'm'))?.[1];
const pastedCurl = () => printed.slice(printed.indexOf('curl -X POST'), printed.indexOf("}'\n") + 2);

function pidOf(service) {
    return Number(execFileSync('s6-svstat', ['-o', 'pid', join(varDir, 'service', service)],
                               { encoding: 'utf8' }));
}

async function post(body, token) {
    const response = await fetch(`${field('URL')}/functions/v1/monitor-realtime-stream`, {
        method: 'POST', body: JSON.stringify(body),
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    });
    return { status: response.status, body: await response.json() };
}

/** Asks the scraper through the public door. */
async function scraper(path, { token, body } = {}) {
    const response = await fetch(`${field('URL')}/scraper${path}`, {
        method: body === undefined ? 'GET' : 'POST', body: body && JSON.stringify(body),
        headers: { 'Content-Type': 'application/json', ...(token && { Authorization: `Bearer ${token}` }) },
    });
    return { status: response.status, body: await response.json() };
}

const line = (message) => ({ message, username: 'tester', streamSessionId: field('session id') });

async function until(what, timeoutMs, condition) {
    const started = Date.now();
    while (!(await condition())) {
        assert.ok(Date.now() - started < timeoutMs, `waited ${timeoutMs} ms for ${what}`);
        await delay(20);
    }
    return Date.now() - started;
}

/** Processes of this test's folder, by their command line or working folder. */
function processesOfOurs() {
    const found = [];
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        try {
            const cwd = readlinkSync(`/proc/${pid}/cwd`);
            const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
            if (Number(pid) !== process.pid && (cwd.startsWith(varDir) || command.includes(varDir)))
                found.push(`${pid} ${command}`);
        } catch { /* it ended meanwhile */ }
    }
    return found;
}

before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'df-up-'));
    chmodSync(dir, 0o755);
    varDir = join(dir, 'var');
    // No setting of this shell's own may decide how the test ends.
    const { PATH, HOME, DEALFLOW_BUILD } = process.env;
    env = { PATH, HOME, DEALFLOW_VAR: varDir, HTTP_PORT: String(await freePort()),
            POSTGRES_PORT: String(await freePort()), SCRAPER_PORT: String(await freePort()),
            ...(DEALFLOW_BUILD && { DEALFLOW_BUILD }) };
    const result = await deploy('up', [], { timeoutMs: BUILD_MS });
    assert.equal(result.status, 0, `deploy/up failed:\n${result.stdout}\n${result.stderr}`);
    printed = result.stdout;
}, { timeout: BUILD_MS });

after(async () => {
    await deploy('down');
    await site?.stop();
    rmSync(dir, { recursive: true, force: true });
});

test('up prints what a stranger needs, and keeps the secrets to its user', () => {
    assert.equal(field('URL'), `http://127.0.0.1:${env.HTTP_PORT}`);
    assert.match(field('session id'), /^[0-9a-f-]{36}$/);
    assert.equal(statSync(join(varDir, 'env')).mode & 0o777, 0o600);
    for (const [name, role] of [['anon key', 'anon'], ['service key', 'service_role']]) {
        const [head, claims, signature] = field(name).split('.');
        assert.equal(JSON.parse(Buffer.from(claims, 'base64url')).role, role);
        assert.equal(signature, createHmac('sha256', setting('JWT_SECRET'))
            .update(`${head}.${claims}`).digest('base64url'));
    }
});

test('the printed curl works as pasted, and the sale is in Postgres', async () => {
    const result = await run('sh', ['-c', pastedCurl()]);
    assert.equal(result.status, 0, result.stderr);
    const answer = JSON.parse(result.stdout);
    assert.equal(answer.success, true);
    assert.equal(answer.analyzed, true);
    assert.equal(answer.analysis.auto_captured, true, result.stdout);
    assert.equal(sql("select count(*) from chat_messages where username = 'test_buyer'"), '1');
    assert.equal(sql("select message_text from sales_captured where buyer_username = 'test_buyer'"),
                 'I will take it!');
});

test('nothing of ours runs as root', { skip: process.getuid() !== 0 }, () => {
    for (const service of SERVICES)
        assert.notEqual(statSync(`/proc/${pidOf(service)}`).uid, 0, service);
});

test('status names each service and ends with 0', async () => {
    const text = await mustRun('status');
    for (const service of SERVICES)
        assert.match(text, new RegExp(`^${service} +up +${pidOf(service)} +\\d+ s$`, 'm'));
    assert.match(text, new RegExp(`^scraper at http://127.0.0.1:${env.SCRAPER_PORT}, streams watched: 0$`, 'm'));
    assert.match(text, new RegExp(`^realtime at ${field('URL')}/realtime/v1, connections: 0$`, 'm'));
    assert.match(text, new RegExp(`^rest at ${field('URL')}/rest/v1: ready$`, 'm'));
    assert.match(text, new RegExp(`^ready at ${field('URL')}$`, 'm'));
});

test('a killed program is back within about a second', async () => {
    for (const service of ['monitor', 'nginx', 'rest', 'realtime', 'scraper']) {
        const pid = pidOf(service);
        await until(`${service} to be up for a second`, 5000, () => // a younger one waits a second
            Number(execFileSync('s6-svstat', ['-o', 'updownfor', join(varDir, 'service', service)])) > 1);
        process.kill(pid, 'SIGKILL');
        const healedMs = await until(`${service} to answer again`, 10_000, async () => {
            const now = pidOf(service); // first: workers of a killed nginx answer a moment longer
            if (now <= 0 || now === pid)
                return false;
            const asked = service === 'scraper' ? scraper('/health')
                : service === 'realtime' ? fetch(`${field('URL')}/realtime/v1/readyz`)
                : service === 'rest' ? rest('stream_sessions?select=id', field('service key'))
                    : post(line('still there?'), field('service key'));
            return (await asked.catch(() => null))?.status === 200;
        });
        assert.ok(healedMs < 2500, `${service} took ${healedMs} ms`);
    }
});

test('token mints what the program accepts', async () => {
    const owner = setting('DEMO_USER_ID');
    const own = (await mustRun('token', ['--user', owner])).trim();
    assert.equal((await post(line('hello'), own)).status, 200);
    const other = (await mustRun('token', ['--user', randomUUID(), '--ttl', '60'])).trim();
    assert.equal((await post(line('hello'), other)).status, 403);
    const claims = JSON.parse(Buffer.from(other.split('.')[1], 'base64url'));
    assert.equal(claims.exp - claims.iat, 60);
    for (const args of [[], ['--user', 'x'], ['--anon', '--service'], ['--anon', '--ttl', 'x']])
        assert.equal((await deploy('token', args)).status, 64, args.join(' '));
});

test('a second up is quick and changes nothing that is right', async () => {
    const before = { pids: SERVICES.map(pidOf),
                     env: readFileSync(join(varDir, 'env'), 'utf8') };
    const started = Date.now();
    const text = await mustRun('up');
    assert.ok(Date.now() - started < 30_000, `it took ${Date.now() - started} ms`);
    assert.deepEqual(SERVICES.map(pidOf), before.pids);
    assert.equal(readFileSync(join(varDir, 'env'), 'utf8'), before.env);
    assert.ok(text.includes(field('session id')));
});

test('a setting in the environment is kept, and restarts only what it concerns', async () => {
    const before = SERVICES.map(pidOf);
    await mustRun('up', [], { extra: { ANALYZER: 'off' } });
    const now = SERVICES.map(pidOf);
    assert.notEqual(now[1], before[1]);
    const others = (pids) => pids.filter((pid, i) => i !== 1);
    assert.deepEqual(others(now), others(before));
    assert.deepEqual((await post(line('I will take it!'), field('service key'))).body,
        { success: true, analyzed: false, message: 'Message stored (AI analysis skipped)' });
    await mustRun('up', [], { extra: { ANALYZER: 'auto' } });
});

test('a port that is taken is named, with another to use', async () => {
    const blocker = net.createServer().listen(0, '127.0.0.1');
    await new Promise((ready) => blocker.once('listening', ready));
    const { port } = blocker.address();
    const other = join(dir, 'other');
    const result = await deploy('up', [], { extra: { DEALFLOW_VAR: other, HTTP_PORT: String(port) } });
    await new Promise((closed) => blocker.close(closed));
    assert.equal(result.status, 1);
    assert.match(result.stderr, new RegExp(`port ${port} \\(HTTP_PORT\\) is used by another program`));
    assert.match(result.stderr, /Next: choose another: HTTP_PORT=\d+ deploy\/up/);
});

test('the scraper has the settings it knows, and none that lead to the database', () => {
    const given = readFileSync(`/proc/${pidOf('scraper')}/environ`, 'utf8').split('\0').filter(Boolean);
    const names = given.map((item) => item.slice(0, item.indexOf('=')));
    for (const name of ['SUPABASE_URL', 'SUPABASE_SERVICE_ROLE_KEY', 'JWT_SECRET', 'OUTBOX_PATH'])
        assert.ok(names.includes(name), `${name} is missing`);
    assert.ok(given.includes(`PORT=${env.SCRAPER_PORT}`) && given.includes('BIND=127.0.0.1') &&
              given.includes('API_AUTH=required'), names.join(' '));
    const allowed = execFileSync(join(varDir, 'app', 'bin', 'dealflow-scraper'), ['--print-settings'],
                                 { encoding: 'utf8' }).match(/^#[A-Z0-9_]+(?==)/gm).map((name) => name.slice(1));
    const own = ['PATH', 'HOME', 'LANG', 'PWD', 'SHLVL', 'OLDPWD', '_'];
    assert.deepEqual(names.filter((name) => !allowed.includes(name) && !own.includes(name)), []);
    assert.equal(statSync(join(varDir, 'scraper')).mode & 0o777, 0o700);
});

test('the scraper wants a token at the public door, and the anon key is none', async () => {
    assert.equal((await scraper('/health')).body.service, 'DealFlow Real-Time Monitor');
    assert.equal((await scraper('/api/streams')).status, 401);
    assert.equal((await scraper('/api/streams', { token: field('anon key') })).status, 401);
    assert.deepEqual((await scraper('/api/streams', { token: field('service key') })).body, { streams: [] });
    assert.equal((await scraper('/metrics')).status, 404);
    const start = printed.match(/curl -X POST (\S+\/scraper\/api\/start-monitoring) [\s\S]*?-d '(.*)'$/m);
    assert.equal(start?.[1], `${field('URL')}/scraper/api/start-monitoring`);
    assert.equal(JSON.parse(start[2]).sessionId, field('session id'));
});

test("a watched stream's chat is in Postgres and at a WebSocket client of the door", async () => {
    site = await FakeSite.start();
    const before = SERVICES.map(pidOf);
    await mustRun('up', [], { extra: site.settings });
    assert.deepEqual(SERVICES.map(pidOf).slice(0, SCRAPER), before.slice(0, SCRAPER));
    assert.notEqual(pidOf('scraper'), before[SCRAPER]);

    const token = field('service key');
    const client = new WebSocket(`${field('URL').replace('http', 'ws')}/scraper`, ['dealflow', `bearer.${token}`]);
    const events = [];
    client.on('message', (text) => events.push(JSON.parse(text)));
    await until('the greeting', 5000, () => events.some((event) => event.type === 'hello'));
    const started = await scraper('/api/start-monitoring',
        { token, body: { url: site.live('show'), sessionId: field('session id') } });
    assert.equal(started.status, 200, JSON.stringify(started.body));
    await site.control({ id: 'show', say: [{ user: 'buyer.one', text: 'I will take it!' },
                                           { user: 'buyer.one', text: 'I will take it!' }] });
    const stored = () => sql("select count(*) from chat_messages where username = 'buyer.one'");
    await until('both lines in Postgres', 15_000, () => stored() === '2');
    await until('both lines at the client', 5000, () => events.filter((event) =>
        event.type === 'new_message' && event.message.username === 'buyer.one').length === 2);
    assert.ok(events.some((event) => event.type === 'buyer_detected'));
    client.close();
    assert.match(await mustRun('status'), /streams watched: 1$/m);
});

for (const service of ['realtime', 'rest']) {
    test(`${service} has a login role of its own and the settings it knows`, async () => {
        const given = readFileSync(`/proc/${pidOf(service)}/environ`, 'utf8').split('\0').filter(Boolean);
        const names = given.map((item) => item.slice(0, item.indexOf('=')));
        for (const name of ['SUPABASE_SERVICE_ROLE_KEY', 'DATABASE_ADMIN_URL', 'POSTGRES_PASSWORD', 'REST_PASSWORD',
                            'REALTIME_PASSWORD', 'REALTIME_DATABASE_URL', 'REST_DATABASE_URL'])
            assert.ok(!names.includes(name), name);
        assert.ok(given.includes(`DATABASE_URL=${setting(`${service.toUpperCase()}_DATABASE_URL`)}`));
        const role = `dealflow_${service}`;
        assert.equal(sql(`select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                              or rolinherit from pg_roles where rolname = '${role}'`), 'f');
        assert.equal(sql(`select string_agg(roleid::regrole::text, ' ' order by roleid::regrole::text)
                          from pg_auth_members where member = '${role}'::regrole`),
                     'anon authenticated service_role');
        assert.equal(sql(`select count(*) from pg_stat_activity where usename = '${role}'`) > 0, true);
    });
}

test('a user makes a session and starts watching it, nobody else can', async () => {
    const clientOf = (token) => createClient(field('URL'), field('anon key'), { accessToken: async () => token,
        realtime: { transport: WebSocket }, auth: { persistSession: false, autoRefreshToken: false } });
    const user = setting('DEMO_USER_ID');
    const owner = (await mustRun('token', ['--user', user])).trim();
    const other = (await mustRun('token', ['--user', randomUUID()])).trim();
    const { data: session, error } = await clientOf(owner).from('stream_sessions')
        .insert({ user_id: user, platform: 'whatnot' }).select().single();
    assert.equal(error, null, JSON.stringify(error));
    assert.deepEqual((await clientOf(other).from('stream_sessions').select()).data, []);
    const call = (what, token) => scraper(`/api/${what}-monitoring`,
        { token, body: { url: site.live('own'), sessionId: session.id } });
    assert.equal((await call('start', other)).status, 403);
    const started = await call('start', owner);
    assert.equal(started.status, 200, JSON.stringify(started.body));
    assert.equal((await call('stop', owner)).status, 200);
});

test('a subscriber with a user token hears of its rows, also after the gateway was killed', async () => {
    const token = (await mustRun('token', ['--user', setting('DEMO_USER_ID')])).trim();
    const supabase = createClient(field('URL'), field('anon key'), {
        accessToken: async () => token, realtime: { transport: WebSocket },
        auth: { persistSession: false, autoRefreshToken: false } });
    try {
        await supabase.realtime.setAuth();
        const rows = [], statuses = [], told = [];
        supabase.channel('deploy')
            .on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'sales_captured',
                                      filter: `stream_session_id=eq.${field('session id')}` },
                ({ new: row }) => rows.push(row))
            .on('system', {}, ({ message }) => told.push(message))
            .subscribe((status) => statuses.push(status));
        const live = () => told.filter((message) => message === 'Subscribed to PostgreSQL').length;
        await until('the subscription', 10_000, () => live() === 1);
        assert.match(await mustRun('status'), /^realtime at .*, connections: 1$/m);
        await post({ ...line('I will take it!'), username: 'heard.one' }, field('service key'));
        await until('the sale', 5000, () => rows.some((row) => row.buyer_username === 'heard.one'));

        const pid = pidOf('realtime');
        process.kill(pid, 'SIGKILL');
        await until('the client to be subscribed again', 20_000, () => live() === 2);
        assert.notEqual(pidOf('realtime'), pid);
        assert.ok(statuses.includes('CHANNEL_ERROR'), statuses.join(' '));
        await post({ ...line('I will take it!'), username: 'heard.two' }, field('service key'));
        await until('the sale after it', 5000, () => rows.some((row) => row.buyer_username === 'heard.two'));
    } finally {
        await supabase.removeAllChannels();
        supabase.realtime.disconnect();
    }
});

test('API_AUTH=off keeps the scraper out of the public door', async () => {
    assert.match(await mustRun('up', [], { extra: { API_AUTH: 'off' } }),
                 new RegExp(`curl -X POST http://127.0.0.1:${env.SCRAPER_PORT}/api/start-monitoring`));
    assert.equal((await scraper('/api/streams')).status, 404);
    const direct = await fetch(`http://127.0.0.1:${env.SCRAPER_PORT}/api/streams`);
    assert.equal(direct.status, 200);
    await mustRun('up', [], { extra: { API_AUTH: 'required' } });
    assert.equal((await scraper('/api/streams')).status, 401);
});

test('no log holds a key or a chat line', () => {
    let bytes = 0;
    for (const service of SERVICES) {
        const text = readFileSync(join(varDir, 'log', service, 'current'), 'utf8');
        bytes += text.length;
        for (const secret of [setting('JWT_SECRET'), field('anon key'), field('service key'),
                              setting('POSTGRES_PASSWORD'), setting('REALTIME_PASSWORD'),
                              'I will take it'])
            assert.ok(!text.includes(secret), `${service} logs ${secret.slice(0, 8)}...`);
    }
    assert.ok(bytes > 200, 'there were hardly any logs to look at');
});

test('down leaves no process and keeps the data; up goes on from there, watched streams too', async () => {
    const session = field('session id');
    const count = sql('select count(*) from chat_messages');
    assert.match(await mustRun('down'), /Stopped\./);
    assert.deepEqual(processesOfOurs(), []);
    assert.equal((await deploy('status')).status, 1);
    assert.match(await mustRun('down'), /Nothing was running/);
    printed = await mustRun('up');
    assert.equal(field('session id'), session);
    assert.ok(Number(sql('select count(*) from chat_messages')) >= Number(count));
    assert.ok(existsSync(join(varDir, 'postgres', 'PG_VERSION')));
    await until('the page to be open again', 20_000, async () => (await site.streamStats('show')).clients === 1);
    await site.control({ id: 'show', say: [{ user: 'buyer.two', text: 'mine' }] });
    await until('its chat in Postgres', 15_000,
                () => sql("select count(*) from chat_messages where username = 'buyer.two'") === '1');
    assert.equal(sql("select count(*) from chat_messages where username = 'buyer.one'"), '2');
});

test('the dashboard stands at the door, with its settings and strict headers', async () => {
    const link = new URL(field('dashboard'));
    assert.equal(link.origin, field('URL'));
    const claims = JSON.parse(Buffer.from(link.hash.slice('#token='.length).split('.')[1], 'base64url'));
    assert.deepEqual([claims.sub, claims.role], [setting('DEMO_USER_ID'), 'authenticated']);
    const get = (path, headers = {}) => fetch(link.origin + path, { headers });
    const index = await get('/');
    const html = await index.text();
    assert.equal(index.status, 200);
    assert.match(index.headers.get('content-type'), /^text\/html/);
    assert.equal(index.headers.get('cache-control'), 'no-cache');
    assert.match(index.headers.get('content-security-policy'),
                 new RegExp(`script-src 'self';.*connect-src 'self' ws://127.0.0.1:${env.HTTP_PORT} `));
    assert.equal((await get('/', { 'if-none-match': index.headers.get('etag') })).status, 304);
    const script = /src="\.?(\/assets\/[^"]+\.js)"/.exec(html)[1];
    const asset = await get(script, { 'accept-encoding': 'gzip' });
    assert.equal(asset.headers.get('content-encoding'), 'gzip');
    assert.match(asset.headers.get('content-type'), /^text\/javascript/);
    assert.match(asset.headers.get('cache-control'), /max-age=31536000, immutable/);
    assert.ok(existsSync(join(varDir, 'app', 'dashboard', `${script}.gz`)), 'it was compressed beforehand');
    const config = await get('/config.js');
    assert.equal(config.headers.get('cache-control'), 'no-cache');
    const window = {};
    new Function('window', 'location', await config.text())(window, { origin: 'http://box.example' });
    assert.deepEqual(window.DEALFLOW_CONFIG, {
        VITE_SUPABASE_URL: 'http://box.example', VITE_SUPABASE_PUBLISHABLE_KEY: field('anon key'),
        VITE_REALTIME_SCRAPER_URL: 'http://box.example/scraper', VITE_REALTIME_SCRAPER_WS: 'ws://box.example/scraper' });
    for (const path of ['/nothing', '/assets/nothing.js', '/built/', '/../env', '/demo/']) {
        const answer = await get(path);
        assert.equal(answer.status, 404, path);
        assert.deepEqual(await answer.json(), { error: 'Not found', success: false });
    }
});

test('up --demo has a made-up show watched, and buyers caught', async () => {
    const extra = { SCRAPER_ALLOW_PRIVATE: 'off', SCRAPER_ALLOWED_HOSTS: 'whatnot.com',
                    SCRAPER_BASE_URL: 'https://www.whatnot.com/' };
    const before = Number(sql('select count(*) from chat_messages'));
    printed = await mustRun('up', ['--demo'], { extra });
    const page = `${field('URL')}/demo/`;
    assert.ok(printed.includes(`show         ${page}`), printed);
    assert.match(printed, /\d+ messages stored, \d+ buyers; the last one: \S+, ".+"/);
    assert.ok(Number(sql('select count(*) from chat_messages')) > before + 5);
    await until('the host to speak', 60_000, () => // who sells, and is no buyer
        sql("select count(*) > 1 from chat_messages where username = 'copperandthread'") === 't');
    assert.equal(sql("select count(*) from sales_captured where buyer_username = 'copperandthread'"), '0');
    assert.equal(setting('SCRAPER_LOCAL_PAGE'), page);
    const token = field('service key');
    const { body } = await scraper('/api/streams', { token });
    assert.deepEqual(body.streams.map(({ stream, state }) => [stream.url, state]), [[page, 'live']]);
    for (const url of [`${field('URL')}/healthz`, `${page}page.js`, `${page}../readyz`]) {
        const refused = await scraper('/api/start-monitoring', { token, body: { url, sessionId: randomUUID() } });
        assert.equal(refused.status, 400, url);
    }
    const policy = (await fetch(page)).headers.get('content-security-policy');
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);

    // Again: nothing is started anew.
    const pids = SERVICES.map(pidOf);
    await mustRun('up', ['--demo']);
    assert.deepEqual(SERVICES.map(pidOf), pids);

    printed = await mustRun('up', ['--no-demo']);
    assert.deepEqual((await scraper('/api/streams', { token })).body, { streams: [] });
    assert.equal((await fetch(page)).status, 404);
    assert.equal((await scraper('/api/start-monitoring', { token, body: { url: page, sessionId: randomUUID() } })).status, 400);
});
