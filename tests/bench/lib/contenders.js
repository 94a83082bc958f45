// tests/bench/lib/contenders.js - floor, peer and project, each behind an nginx of its own with the
// same settings. A contender is {name, url, nginx, program}.
'use strict';
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { ROOT, isRoot, freePort, run } = require('./box.js');
const { ENDPOINT, serviceToken } = require('./load.js');

const NGINX_WORKERS = 2;
const KEEPALIVE = 128; // idle upstream connections each nginx worker keeps
// A kept connection holds a worker thread, so there must be more threads than connections that the
// nginx workers can keep between them, plus the burst above.
const THREADS = NGINX_WORKERS * KEEPALIVE + 64;
const PUBLIC_DOOR = path.join(ROOT, 'nginx', 'render');
const PEER = path.join(ROOT, 'tests', 'bench', 'peer');

const FASTCGI_PARAMS = {
  QUERY_STRING: '$query_string',
  REQUEST_METHOD: '$request_method',
  CONTENT_TYPE: '$content_type',
  CONTENT_LENGTH: '$content_length',
  SCRIPT_NAME: '$fastcgi_script_name',
  REQUEST_URI: '$request_uri',
  DOCUMENT_URI: '$document_uri',
  SERVER_PROTOCOL: '$server_protocol',
  GATEWAY_INTERFACE: 'CGI/1.1',
  REMOTE_ADDR: '$remote_addr',
  SERVER_NAME: '$server_name',
  SERVER_PORT: '$server_port',
  HTTP_PROXY: '""',
};

const fastcgi = () => `
      fastcgi_keep_conn on;
      fastcgi_read_timeout 30s;
${Object.entries(FASTCGI_PARAMS).map(([name, value]) => `      fastcgi_param ${name} ${value};`).join('\n')}
      fastcgi_pass monitor;`;

const proxy = () => `
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 30s;
      proxy_pass http://monitor;`;

const config = ({ dir, port, socket, metrics, pass, nginxWorkers }) => `
${isRoot ? 'user root;' : ''}
daemon off;
worker_processes ${nginxWorkers};
pid ${dir}/nginx.pid;
error_log ${dir}/error.log warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  fastcgi_temp_path ${dir}/fastcgi;
  proxy_temp_path ${dir}/proxy;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  keepalive_requests 1000000000;
  client_max_body_size 64k;
  client_body_buffer_size 64k;
  upstream monitor {
    server unix:${socket};
    keepalive ${KEEPALIVE};
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location ${ENDPOINT} {${pass}
    }
${metrics ? `    location = /healthz { proxy_pass http://unix:${metrics}:/healthz; }` : ''}
  }
}
`;

async function startNginx(box, name, settings) {
  const dir = box.file(`nginx-${name}`);
  fs.mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const file = path.join(dir, 'nginx.conf');
  fs.writeFileSync(file, config({ nginxWorkers: NGINX_WORKERS, ...settings, dir, port }));
  const nginx = box.start(`nginx-${name}`, 'nginx', ['-p', dir, '-c', file]);
  return { nginx, url: `http://127.0.0.1:${port}${ENDPOINT}`, port };
}

/** The configuration people run, from its templates; logs and limits as they are by default. more: further
 * settings of the templates. */
async function startPublicDoor(box, { socket, metrics, more = {} }) {
  const dir = box.file('public-door');
  const port = await freePort();
  run(PUBLIC_DOOR, [dir], { env: { ...process.env, HTTP_PORT: String(port), FCGI_SOCKET: socket,
    METRICS_LISTEN: metrics, ...more } });
  const nginx = box.start('public-door', 'nginx',
    ['-p', dir, '-c', path.join(dir, 'nginx.conf'), '-g', 'daemon off;']);
  return { nginx, url: `http://127.0.0.1:${port}${ENDPOINT}`, port };
}

/** One request; resolves with {status, body}. `where` is a URL or {socketPath, path}. */
function ask(where, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((done, failed) => {
    const target = typeof where === 'string' ? [where, { method, headers }] : [{ ...where, method, headers }];
    const request = http.request(...target, (reply) => {
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => done({ status: reply.statusCode, body: text }));
    });
    request.on('error', failed);
    request.setTimeout(5000, () => request.destroy(new Error('timeout')));
    request.end(body);
  });
}

/** True once a message posted through the door is answered 200. */
async function answers(contender, db, token) {
  const body = JSON.stringify({ message: 'hello', username: 'probe', streamSessionId: db.sessions[0] });
  const reply = await ask(contender.url, { method: 'POST', body,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' } });
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body.slice(0, 200)}`);
  return true;
}

async function floor(box, { build, db, token }) {
  const socket = box.file('floor.sock');
  const program = box.start('floor', path.join(build, 'bin', 'bench_floor'), [socket, String(THREADS)]);
  await box.ready('floor', program, () => fs.existsSync(socket));
  const contender = { name: 'floor', program, ...await startNginx(box, 'floor', { socket, pass: fastcgi() }) };
  await box.ready('floor behind nginx', contender.nginx, () => answers(contender, db, token));
  return contender;
}

/** The Deno binary lies in the package of this platform; running it spares the wrapper process. */
function deno() {
  const scope = path.join(PEER, 'node_modules', '@deno');
  if (!fs.existsSync(scope)) {
    console.error('peer: installing its two npm packages (once)');
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: PEER, stdio: 'inherit' });
  }
  const found = fs.readdirSync(scope).find((name) => name.startsWith('linux-'));
  if (!found) throw new Error(`no Deno for this platform in ${scope}`);
  const binary = path.join(scope, found, 'deno');
  fs.chmodSync(binary, 0o755);
  return binary;
}

let peerCount = 0;
async function peer(box, { db, token, analyzer, pool }) {
  const name = `peer-${++peerCount}`;
  const socket = box.file(`${name}.sock`);
  const program = box.start(name, deno(), ['run', '-A', 'server.js'], {
    cwd: PEER,
    env: { PATH: process.env.PATH, HOME: box.dir, DENO_DIR: box.file('deno'), DENO_NO_UPDATE_CHECK: '1',
      ...db.env, POOL: String(pool), LISTEN: socket, ANALYZER: analyzer },
  });
  await box.ready('peer', program, () => fs.existsSync(socket));
  const contender = { name: 'peer', pool, program,
    ...await startNginx(box, name, { socket, pass: proxy() }) };
  await box.ready('peer behind nginx', contender.nginx, () => answers(contender, db, token));
  return contender;
}

async function project(box, { build, db, token, secret, analyzer, publicDoor = false, door = {}, env = {} }) {
  const socket = box.file('project.sock');
  const metrics = box.file('project-metrics.sock');
  const program = box.start('project', path.join(build, 'bin', 'monitor-realtime-stream'), [], {
    env: { PATH: process.env.PATH, DATABASE_URL: db.url, FCGI_SOCKET: socket, METRICS_LISTEN: metrics,
      JWT_SECRET: secret, ANALYZER: analyzer,
      FCGI_SOCKET_MODE: '0666', LOG_LEVEL: 'warn', // a door started by root runs as another user
      INTENT_WEIGHTS: path.join(build, 'share', 'dealflow', 'intent.weights'), ...env },
  });
  await box.ready('project', program,
    async () => (await ask({ socketPath: metrics, path: '/readyz' })).status === 200);
  const contender = { name: 'project', metrics, program,
    ...await (publicDoor ? startPublicDoor(box, { socket, metrics, more: door })
      : startNginx(box, 'project', { socket, metrics, pass: fastcgi() })) };
  await box.ready('project behind nginx', contender.nginx, () => answers(contender, db, token));
  return contender;
}

async function stop(box, contender) {
  await box.stop(contender.nginx);
  await box.stop(contender.program);
}

function keys() {
  const secret = crypto.randomBytes(32).toString('hex');
  return { secret, token: serviceToken(secret) };
}

module.exports = { floor, peer, project, stop, keys, ask };
