// A whole box with its dashboard: Postgres, function, realtime gateway, rest, scraper with its
// Chromium, the stand-in stream site, and nginx in front; and a browser to look at it with.
import fs from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { FakeSite } from './fakestream.mjs';
import { run } from './process.mjs';
import { Program, root } from './program.mjs';
import { Gateway } from './realtime.mjs';
import { restBinary } from './rest.mjs';
import { Scraper, binary as scraperBinary } from './scraper.mjs';
import { OWNER, startSystem, temporaryFolder } from './system.mjs';
import { token } from './tokens.mjs';
import { freePort } from './wait.mjs';

export const PATIENCE = 20_000;
export const dist = path.join(root, 'dashboard/dist');
export const artefacts = path.join(root, 'build/dashboard');

// The gateway and rest log in as somebody who may only become a caller's role, as deploy/up has it.
const LOGIN = `
  do $$ begin
    if not exists (select from pg_roles where rolname = 'dealflow_box') then
      create role dealflow_box login noinherit;
      grant anon, authenticated, service_role to dealflow_box;
    end if;
  end $$`;

// Builds the dashboard unless the one that is there is newer than everything it is made of.
export async function buildDashboard() {
  const folder = path.join(root, 'dashboard');
  const newest = (dir) => Math.max(...fs.readdirSync(dir, { withFileTypes: true, recursive: false })
    .filter((each) => !['node_modules', 'dist', 'test'].includes(each.name))
    .map((each) => (each.isDirectory() ? newest(path.join(dir, each.name)) : fs.statSync(path.join(dir, each.name)).mtimeMs)));
  const index = path.join(dist, 'index.html');
  if (fs.existsSync(index) && fs.statSync(index).mtimeMs > newest(folder)) return;
  const options = { cwd: folder, env: process.env, timeoutMs: 240_000 };
  if (!fs.existsSync(path.join(folder, 'node_modules'))) {
    const got = await run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], options);
    if (got.code !== 0) throw new Error(`npm ci in dashboard/: ${got.text}`);
  }
  const made = await run('npm', ['run', 'build'], options);
  if (made.code !== 0) throw new Error(`npm run build in dashboard/: ${made.text}`);
}

export class Box {
  // scraperEnv, programEnv: more settings. scraper: the binary.
  static async start({ scraperEnv = {}, programEnv = {}, scraper = scraperBinary } = {}) {
    const box = new Box();
    try {
      await buildDashboard();
      box.site = await FakeSite.start();
      box.keys = { anon: await token({ role: 'anon' }), service: await token(), user: await token({ role: 'authenticated', sub: OWNER }) };
      const [realtime, scraperPort] = [await freePort(), await freePort()];
      const folder = temporaryFolder('box');
      box.folder = folder;
      box.layOut(path.join(folder, 'dashboard'));
      const system = await startSystem({
        begin: false,
        env: { ANALYZER: 'local', ...programEnv },
        nginx: {
          REALTIME_LISTEN: `127.0.0.1:${realtime}`, SCRAPER_LISTEN: `127.0.0.1:${scraperPort}`,
          REST_SOCKET: path.join(folder, 'monitor.sock'), DASHBOARD_DIR: path.join(folder, 'dashboard'),
        },
      });
      box.system = system;
      await system.db.query(LOGIN);
      const common = { DATABASE_URL: system.postgres.socketUrl('dealflow_box', system.database), JWT_SECRET: system.settings.JWT_SECRET };
      await system.program.start();
      await system.nginx.start();
      system.url = system.nginx.url;
      box.gateway = await new Gateway(path.join(folder, 'realtime'), realtime, common).start();
      box.rest = await new Program(folder, common, () => [restBinary, []]).start();
      box.scraper = new Scraper({
        site: box.site, program: scraper,
        env: {
          API_AUTH: 'required', JWT_SECRET: common.JWT_SECRET, PORT: String(scraperPort),
          SUPABASE_URL: system.url, SUPABASE_SERVICE_ROLE_KEY: box.keys.service, ...scraperEnv,
        },
      });
      await box.scraper.start();
      return box;
    } catch (error) {
      await box.stop({ unclean: true }).catch(() => {});
      throw error;
    }
  }

  // What nginx serves: the files as built, and the settings of this box.
  layOut(folder) {
    fs.cpSync(dist, folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'config.js'), `window.DEALFLOW_CONFIG = { VITE_SUPABASE_PUBLISHABLE_KEY: '${this.keys.anon}' };\n`);
  }

  get url() {
    return this.system.url;
  }

  get db() {
    return this.system.db;
  }

  // Messages of a session in the database.
  async stored(sessionId) {
    const { rows } = await this.db.query('select count(*)::int as n from public.chat_messages where stream_session_id = $1', [sessionId]);
    return rows[0].n;
  }

  async stop({ unclean = false } = {}) {
    const problems = [];
    const attempt = (what) => what?.catch((error) => problems.push(error));
    await attempt(this.browser?.close());
    await attempt(this.scraper?.stop({ unclean }));
    for (const program of [this.rest, this.gateway]) {
      if (!program) continue;
      await attempt(unclean ? program.child?.stop('SIGKILL') : program.stop());
      await attempt((async () => program.complaints())());
    }
    await attempt(this.site?.stop());
    await attempt(this.system?.stop({ unclean }));
    if (this.folder) fs.rmSync(this.folder, { recursive: true, force: true });
    if (problems.length) throw problems[0];
  }

  // --- the browser

  async launch() {
    this.browser ??= await chromium.launch({
      executablePath: process.env.DF_CHROMIUM || ['/usr/lib/chromium/chromium-headless-shell', '/usr/bin/chromium'].find((each) => fs.existsSync(each)),
      args: process.getuid() === 0 ? ['--no-sandbox'] : [],
    });
    return this.browser;
  }

  // A page of a new profile. It keeps what the console said at level error, and what was thrown.
  async page({ width = 1440, height = 900, colorScheme = 'dark', ...options } = {}) {
    const browser = await this.launch();
    const context = await browser.newContext({ viewport: { width, height }, colorScheme, acceptDownloads: true, ...options });
    const page = await context.newPage();
    page.errors = [];
    page.on('pageerror', (error) => page.errors.push(`thrown: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') page.errors.push(`${message.text()} (${message.location().url})`);
    });
    return page;
  }
}

// A page of the dashboard as tests talk of it.
export class Desk {
  constructor(box, page) {
    this.box = box;
    this.page = page;
  }

  // Signed in, and connected to everything.
  static async open(box, options) {
    const page = await box.page(options);
    await page.goto(`${box.url}/#token=${box.keys.user}`);
    const desk = new Desk(box, page);
    for (const each of ['scraper', 'realtime', 'function']) await desk.lamp(each, 'up');
    return desk;
  }

  lamp(name, state) {
    return this.page.locator(`[data-lamp=${name}][data-state=${state}]`).waitFor({ timeout: PATIENCE });
  }

  go(where) {
    return this.page.evaluate((hash) => { location.hash = hash; }, `#/${where}`);
  }

  panel(id) {
    return this.page.locator(`.panel[data-session="${id}"]`);
  }

  line(text, id) {
    return this.panel(id).locator('.line', { hasText: text });
  }

  sessions() {
    return this.page.locator('.panel').evaluateAll((all) => all.map((each) => each.dataset.session));
  }

  // Types the address of a stream of the stand-in site and starts; returns the session.
  async watch(id, config = {}) {
    await this.box.site.control({ id, rate: 0, profile: 'mix', variant: 'A', history: 5, ...config });
    const known = await this.sessions();
    await this.page.getByLabel('Address of the show').fill(this.box.site.live(id));
    await this.page.getByRole('button', { name: 'Start watching' }).click();
    await this.page.locator('.panel[data-state=live], .panel[data-state=quiet]').nth(known.length).waitFor({ timeout: PATIENCE });
    return (await this.sessions()).find((each) => !known.includes(each));
  }
}
