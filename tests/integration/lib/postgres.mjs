// A private Postgres server for a test: own folder, own port, gone afterwards.
//
//   const server = await startPostgres();                  // Debian's newest, settings for tests
//   const server = await startPostgres({
//       binDir,     // folder with initdb and postgres; default: newest of /usr/lib/postgresql/*/bin
//       dataDir,    // keep the cluster here; initialised when empty, never removed; default: temporary
//       settings,   // { max_connections: 20, fsync: 'on', ... } on top of the defaults below
//   });
//   server.url('user', 'db')     TCP url (trust authentication, 127.0.0.1); superUrl: the superuser's
//   server.socketUrl('user', 'db'), server.socketDir, server.port, server.pid, server.dataDir
//   await server.stop('fast')    'smart', 'fast' or 'immediate'; the data stays
//   await server.kill9()         as the kernel's out-of-memory killer would: the postmaster first
//   await server.start()         again, same port and data; after kill9 it recovers
//   await server.remove()        stops and deletes it all: call it in after()
//   server.log()                 the server's log so far
//
//   await psql(url, sql)         runs it with psql, returns what it printed (unaligned, no header)
//   await migrate(url, ...args)  runs sql/migrate; resolves to { code, stdout, stderr }
//   newerVersions                ['16', ...]: servers of postgres-versions.json, from npm
//   newerBinDir('16')            its binDir; throws with the command that installs it
//
// As root the server runs as user postgres (or nobody where there is none), because Postgres refuses
// root. fsync is off: a killed process loses nothing by it, a power cut is not what is tested. A
// benchmark must pass { fsync: 'on' }.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../../..');
const START_MS = 60_000; // recovery after kill9 on a busy machine is counted in
const STOP_MS = 30_000;

const running = new Set();
process.on('exit', () => {
    for (const server of running) server.removeNow();
});

const defaults = {
    fsync: 'off',
    max_connections: 200,
    shared_buffers: '64MB',
    wal_level: 'logical', // so that creating a publication does not warn
    log_min_messages: 'warning',
    timezone: 'UTC',
};

export async function startPostgres({ binDir = debianBinDir(), dataDir, settings = {} } = {}) {
    const server = new Server(binDir, dataDir, { ...defaults, ...settings });
    try {
        await server.init();
        await server.start();
    } catch (error) {
        server.removeNow();
        throw error;
    }
    return server;
}

class Server {
    constructor(binDir, dataDir, settings) {
        this.user = serverUser();
        this.base = fs.mkdtempSync(path.join(os.tmpdir(), 'dealflow-pg-'));
        fs.chmodSync(this.base, 0o755); // other users' programs connect to the socket in it
        if (this.user) fs.chownSync(this.base, this.user.uid, this.user.gid);
        this.socketDir = this.base;
        this.dataDir = dataDir ?? path.join(this.base, 'data');
        this.binDir = this.reachable(binDir);
        this.settings = settings;
        this.logFile = path.join(this.base, 'log');
        running.add(this);
    }

    // A checkout below /root is closed to the server's user: give it a copy of the binaries then.
    reachable(binDir) {
        if (!this.user) return binDir;
        try {
            execFileSync('setpriv', [...this.asUser(), 'test', '-x', path.join(binDir, 'postgres')]);
            return binDir;
        } catch {
            const copy = path.join(this.base, 'native');
            fs.cpSync(path.dirname(binDir), copy, { recursive: true, verbatimSymlinks: true });
            return path.join(copy, path.basename(binDir));
        }
    }

    asUser() {
        const { uid, gid } = this.user;
        return [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
    }

    command(name, args) {
        const file = path.join(this.binDir, name);
        return this.user ? ['setpriv', [...this.asUser(), file, ...args]] : [file, args];
    }

    async init() {
        if (fs.existsSync(path.join(this.dataDir, 'PG_VERSION'))) return;
        const args = ['-D', this.dataDir, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8',
            '--locale=C', '--no-sync'];
        const [file, argv] = this.command('initdb', args);
        await run(file, argv, { cwd: this.base });
    }

    async start() {
        const keepPort = this.port !== undefined; // clients know it already
        for (let attempt = 1; ; attempt++) {
            this.port = keepPort ? this.port : await freePort();
            try {
                await this.launch();
                return;
            } catch (error) {
                if (keepPort || attempt === 5 || !/Address already in use/.test(this.log()))
                    throw error;
            }
        }
    }

    async launch() {
        const options = {
            ...this.settings,
            listen_addresses: '127.0.0.1',
            port: this.port,
            unix_socket_directories: this.socketDir,
        };
        const args = ['-D', this.dataDir];
        for (const [name, value] of Object.entries(options)) args.push('-c', `${name}=${value}`);
        const [file, argv] = this.command('postgres', args);
        const out = fs.openSync(this.logFile, 'a');
        this.child = spawn(file, argv, { cwd: this.base, stdio: ['ignore', out, out] });
        fs.closeSync(out);
        this.exited = once(this.child, 'exit');
        this.pid = this.child.pid; // setpriv replaces itself with postgres
        await until(START_MS, `Postgres to start\n${tail(this.log())}`, () => {
            if (this.child.exitCode !== null || this.child.signalCode !== null)
                throw new Error(`Postgres did not start:\n${tail(this.log())}`);
            return this.postmasterStatus() === 'ready';
        });
    }

    // The last line of postmaster.pid; a file left by a killed server names another process.
    postmasterStatus() {
        try {
            const lines = fs.readFileSync(path.join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n');
            return Number(lines[0]) === this.pid ? lines[7]?.trim() : undefined;
        } catch (error) {
            if (error.code === 'ENOENT') return undefined;
            throw error;
        }
    }

    async stop(mode = 'fast') {
        const signal = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' }[mode];
        if (!signal) throw new Error(`stop: no mode "${mode}"`);
        if (!this.alive()) return;
        this.child.kill(signal);
        await until(STOP_MS, 'Postgres to stop', () => !this.alive());
    }

    async kill9() {
        if (!this.alive()) return;
        const children = childrenOf(this.pid);
        this.child.kill('SIGKILL');
        await this.exited;
        // They notice by themselves; until the last is gone the shared memory is in use.
        await until(STOP_MS, 'server processes to end', () => !children.some(isRunning));
    }

    alive() {
        return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null;
    }

    async remove() {
        await this.stop('immediate');
        this.removeNow();
    }

    removeNow() {
        if (this.alive()) this.child.kill('SIGKILL');
        fs.rmSync(this.base, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
        running.delete(this);
    }

    log() {
        return fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : '';
    }

    url(user = 'postgres', db = 'postgres') {
        return `postgresql://${user}@127.0.0.1:${this.port}/${db}`;
    }

    socketUrl(user = 'postgres', db = 'postgres') {
        return `postgresql://${user}@/${db}?host=${encodeURIComponent(this.socketDir)}&port=${this.port}`;
    }

    get superUrl() {
        return this.url();
    }
}

export async function psql(url, sql) {
    const { stdout } = await run('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', url], { input: sql });
    return stdout.trimEnd();
}

export async function migrate(url, ...args) {
    const env = { ...process.env, DATABASE_URL: url };
    try {
        return { code: 0, ...(await run(path.join(root, 'sql/migrate'), args, { env })) };
    } catch (error) {
        if (typeof error.code !== 'number') throw error;
        return { code: error.code, stdout: error.stdout, stderr: error.stderr };
    }
}

const newer = JSON.parse(fs.readFileSync(path.join(here, 'postgres-versions.json'), 'utf8')).dependencies;

export const newerVersions = Object.keys(newer).map((alias) => alias.replace('pg', ''));

export function newerBinDir(version) {
    const folder = path.join(root, `tests/node_modules/pg${version}`);
    if (!fs.existsSync(path.join(folder, 'native/bin/postgres')))
        throw new Error(`Postgres ${version} is not installed: npm install --prefix tests --no-save `
            + Object.entries(newer).map(([name, spec]) => `${name}@${spec}`).join(' '));
    // npm packs no symlinks, so the package has a list of them, and a script that makes them after the
    // install, which not every set-up of npm runs.
    if (!fs.readdirSync(path.join(folder, 'native/lib')).some((name) => /^libpq\.so\.\d+$/.test(name)))
        execFileSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: folder });
    return path.join(folder, 'native/bin');
}

function debianBinDir() {
    const base = '/usr/lib/postgresql';
    const versions = fs.existsSync(base) ? fs.readdirSync(base).filter((v) => /^\d+$/.test(v)) : [];
    versions.sort((a, b) => b - a);
    const found = versions.map((v) => path.join(base, v, 'bin')).find((d) => fs.existsSync(path.join(d, 'initdb')));
    if (!found) throw new Error('no Postgres server here (Debian: apt-get install postgresql)');
    return found;
}

function serverUser() {
    if (process.getuid() !== 0) return null;
    const accounts = fs.readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
    for (const name of ['postgres', 'nobody']) {
        const account = accounts.find((fields) => fields[0] === name);
        if (account) return { uid: Number(account[2]), gid: Number(account[3]) };
    }
    throw new Error('Postgres does not run as root, and there is neither a user postgres nor nobody');
}

async function freePort() {
    const probe = net.createServer();
    probe.listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address();
    probe.close();
    await once(probe, 'close');
    return port;
}

function childrenOf(pid) {
    return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number)
        .filter((child) => procStat(child)?.parent === pid);
}

function isRunning(pid) {
    const stat = procStat(pid);
    return stat !== undefined && stat.state !== 'Z';
}

function procStat(pid) {
    try {
        // "pid (name) state parent ...": the name may hold anything, brackets too
        const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
        const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
        return { state, parent: Number(parent) };
    } catch {
        return undefined;
    }
}

async function until(limitMs, what, condition) {
    const end = Date.now() + limitMs;
    while (!condition()) {
        if (Date.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
        await sleep(10);
    }
}

function tail(text) {
    return text.split('\n').slice(-15).join('\n');
}

// Resolves to { stdout, stderr }; the error of a failed command says what it printed.
function run(file, args, { input = '', ...options } = {}) {
    return new Promise((resolve, reject) => {
        const child = execFile(file, args, { maxBuffer: 64 << 20, ...options }, (error, stdout, stderr) => {
            if (!error) return resolve({ stdout, stderr });
            error.message = `${path.basename(file)} failed (${error.code}): ${stderr || stdout}`;
            Object.assign(error, { stdout, stderr });
            reject(error);
        });
        child.stdin.on('error', () => {}); // it may end before it has read everything
        child.stdin.end(input);
    });
}
