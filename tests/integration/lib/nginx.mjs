// The real nginx with the configuration that nginx/render writes.
import fs from 'node:fs';
import path from 'node:path';
import { Child, run } from './process.mjs';
import { root } from './program.mjs';
import { accepts, freePort, until } from './wait.mjs';

const asRoot = process.getuid() === 0;

export class Nginx {
  // env: FCGI_SOCKET, METRICS_LISTEN and what else nginx/render takes.
  constructor(dir, env) {
    this.dir = path.join(dir, 'nginx');
    this.env = env;
    this.logFile = path.join(this.dir, 'access.log');
    this.text = '';
  }

  // Debian's PATH for plain users lacks sbin.
  static environment(env) {
    return { PATH: `${process.env.PATH}:/usr/sbin`, LC_ALL: 'C', ...env };
  }

  async render() {
    this.port ??= await freePort();
    const made = await run(path.join(root, 'nginx/render'), [this.dir], {
      env: Nginx.environment({ HTTP_ACCESS_LOG: 'all', HTTP_ACCESS_LOG_FILE: this.logFile, ...this.env, HTTP_PORT: String(this.port) }),
    });
    if (made.code !== 0) throw new Error(`nginx/render failed: ${made.text}`);
    if (this.cgi) this.renderForCgi();
  }

  // For a CGI server instead of the program: it wants to know the file, and it serves one connection
  // at a time, so none may be kept open.
  renderForCgi() {
    const file = path.join(this.dir, 'snippets/dealflow-function.conf');
    const lines = Object.entries(this.cgi).map(([name, value]) => `fastcgi_param ${name} ${value};\n`);
    const text = fs.readFileSync(file, 'utf8').replace('fastcgi_keep_conn on;', 'fastcgi_keep_conn off;');
    fs.writeFileSync(file, text + lines.join(''));
  }

  arguments() {
    // Workers of a root master would become "nobody", who cannot reach the program's socket.
    return ['-p', this.dir, '-c', path.join(this.dir, 'nginx.conf'),
      '-g', `daemon off;${asRoot ? ' user root;' : ''}`];
  }

  async start() {
    if (!fs.existsSync(path.join(this.dir, 'nginx.conf'))) await this.render();
    this.child = new Child('nginx', this.arguments(), { env: Nginx.environment() });
    await until('nginx to listen', async () => {
      if (!this.child.running) throw Object.assign(new Error('it ended'), { final: true });
      return accepts(this.port);
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.child.text}`);
    });
    return this;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  logs() {
    const access = fs.existsSync(this.logFile) ? fs.readFileSync(this.logFile, 'utf8') : '';
    return this.text + (this.child?.text ?? '') + access;
  }

  // What `nginx -s reload` does.
  reload() {
    process.kill(this.child.pid, 'SIGHUP');
  }

  async stop(signal = 'SIGTERM') {
    if (!this.child) return;
    await this.child.stop(signal);
    this.text += this.child.text;
    this.child = undefined;
  }
}
