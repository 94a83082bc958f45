// A headless browser over --remote-debugging-pipe, with as little as the tests of page scripts need:
// no puppeteer between the script and its page.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { within } from './wait.mjs';

const programs = ['/usr/lib/chromium/chromium-headless-shell', '/usr/lib/chromium/chromium'];
const flags = [
  '--headless', '--remote-debugging-pipe', '--no-sandbox', '--disable-gpu', '--no-first-run', '--mute-audio',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
  '--disable-breakpad', '--disable-dev-shm-usage', 'about:blank',
];

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.profile = fs.mkdtempSync(path.join(os.tmpdir(), 'dealflow-page-'));
    const program = process.env.CHROME_EXECUTABLE_PATH ?? programs.find((each) => fs.existsSync(each));
    browser.child = spawn(program, [`--user-data-dir=${browser.profile}`, ...flags],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
    browser.ended = new Promise((resolve) => browser.child.once('exit', resolve));
    browser.waiting = new Map();
    browser.listeners = [];
    browser.lastId = 0;
    let rest = '';
    browser.child.stdio[4].setEncoding('utf8').on('data', (piece) => {
      const messages = (rest + piece).split('\0');
      rest = messages.pop();
      for (const message of messages) browser.take(JSON.parse(message));
    });
    await browser.send('Browser.getVersion');
    return browser;
  }

  take(message) {
    if (message.id === undefined) {
      for (const listen of this.listeners) listen(message);
      return;
    }
    const { resolve, reject } = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message));
    else resolve(message.result);
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.lastId;
    const answer = new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
    this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return within(20_000, method, answer);
  }

  // A page of its own context, with the script in the isolated world `dealflow` of every document.
  async open(script) {
    const page = new Page();
    page.browser = this;
    page.reports = []; // {payload, at}
    page.frames = [];  // {payload, at} of text frames
    page.context = (await this.send('Target.createBrowserContext', { disposeOnDetach: true })).browserContextId;
    const { targetId } = await this.send('Target.createTarget',
      { url: 'about:blank', browserContextId: page.context, width: 1366, height: 768 });
    page.session = (await this.send('Target.attachToTarget', { targetId, flatten: true })).sessionId;
    this.listeners.push((message) => {
      if (message.sessionId === page.session) page.onEvent(message.method, message.params);
    });
    for (const domain of ['Page', 'Runtime', 'Network']) await page.send(`${domain}.enable`);
    await page.send('Runtime.addBinding', { name: 'dealflowReport', executionContextName: 'dealflow' });
    await page.send('Page.addScriptToEvaluateOnNewDocument', { source: script, worldName: 'dealflow' });
    return page;
  }

  async stop() {
    this.child.kill('SIGKILL');
    await this.ended;
    fs.rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

class Page {
  onEvent(method, params) {
    const at = performance.timeOrigin + performance.now();
    if (method === 'Runtime.bindingCalled' && params.name === 'dealflowReport') {
      const report = { payload: params.payload, at };
      this.reports.push(report);
      this.onReport?.(report);
    } else if (method === 'Network.webSocketFrameReceived') {
      const frame = { payload: params.response.payloadData, at };
      this.frames.push(frame);
      this.onFrame?.(frame);
    } else if (method === 'Runtime.executionContextCreated' && params.context.name === 'dealflow' &&
      params.context.auxData.frameId === this.frame) {
      this.world = params.context.id;
    } else if (method === 'Page.javascriptDialogOpening') {
      this.dialogs = (this.dialogs ?? 0) + 1;
    }
  }

  send(method, params) {
    return this.browser.send(method, params, this.session);
  }

  async navigate(url) {
    this.frame ??= (await this.send('Page.getFrameTree')).frameTree.frame.id;
    await this.send('Page.navigate', { url });
  }

  // In the isolated world; the value must be one JSON can carry.
  evaluate(expression) {
    return this.run({ expression, contextId: this.world });
  }

  // As a script of the page itself.
  inPage(expression) {
    return this.run({ expression });
  }

  async run(what) {
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', { ...what, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async close() {
    await this.browser.send('Target.disposeBrowserContext', { browserContextId: this.context });
  }
}
