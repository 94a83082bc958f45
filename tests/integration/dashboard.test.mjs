// The dashboard in a real browser, on a real box: nginx, Postgres, function, rest, realtime gateway,
// scraper with its own Chromium, and the stand-in stream site. Pictures are kept in build/dashboard/.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { Box, Desk, PATIENCE, artefacts } from './lib/dashboard.mjs';
import { OTHER_OWNER, OTHER_SESSION, OWNER } from './lib/system.mjs';
import { nowSeconds, token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const axeSource = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const KIB = 1024;

let box;
let page;
let desk; // the page, as tests talk of it
let first; // session ids
let second;

before(async () => {
  fs.mkdirSync(artefacts, { recursive: true });
  box = await Box.start();
});
after(async () => box?.stop());

const picture = (name, from = page) => from.screenshot({ path: path.join(artefacts, `${name}.png`) });
const go = (where) => desk.go(where);
const lamp = (name, state) => desk.lamp(name, state);
const panel = (id) => desk.panel(id);
const lineOf = (text, id = first) => desk.line(text, id);
const sessions = () => desk.sessions();
const say = (text, { user = 'viewer7', id = 'show-one' } = {}) => box.site.control({ id, say: [{ user, text }] });

async function rows(sql, ...values) {
  return (await box.db.query(sql, values)).rows;
}

// Every line that the database has of a session is on the page, once, and marked as stored.
async function nothingIsMissing(id) {
  const wanted = (await rows('select id from public.chat_messages where stream_session_id = $1 order by 1', id)).map((row) => row.id);
  assert.ok(wanted.length < 120, 'the feed shows that many lines; a test that says more has to scroll');
  await until('every stored line to be on the page', async () => {
    const shown = await panel(id).locator('.line').evaluateAll((all) => all.map((each) => [each.dataset.id, each.dataset.stored]));
    const stored = shown.filter(([, is]) => is === 'true').map(([each]) => each);
    assert.equal(new Set(stored).size, stored.length, 'a line is there twice');
    const missing = wanted.filter((each) => !stored.includes(each));
    assert.deepEqual(missing, [], 'missing');
    return true;
  }, { timeoutMs: PATIENCE, everyMs: 100 });
}

// While a server is away the browser itself reports the requests that failed; nothing else may be said.
const isNetworkTalk = (text) => /Failed to load resource|WebSocket connection to .* failed|net::ERR_/.test(text);
function noErrors({ exceptNetwork = false } = {}) {
  const said = page.errors.splice(0);
  assert.deepEqual(exceptNetwork ? said.filter((each) => !isNetworkTalk(each)) : said, []);
}

describe('signing in', () => {
  test('without a token the page asks for one, and says what is wrong with others', async () => {
    page = await box.page({ colorScheme: 'dark' });
    desk = new Desk(box, page);
    await page.goto(box.url);
    await page.getByRole('heading', { name: 'Catch every buyer' }).waitFor();
    const field = page.getByLabel('Token, or the link that carries it');
    for (const [text, wanted] of [
      ['hello', /no token/], [box.keys.service, /service key/], [box.keys.anon, /belongs to no user/],
      [await token({ role: 'authenticated', sub: OWNER, exp: nowSeconds() - 5 }), /expired/],
    ]) {
      await field.fill(text);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await until(`the answer to ${text.slice(0, 10)}`, async () => wanted.test(await page.getByRole('alert').innerText()));
    }
    await picture('sign-in');
  });

  test('it is painted within a second of being asked for', async () => {
    const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
    console.log(`first contentful paint: ${Math.round(paint)} ms`);
    assert.ok(paint < 1000, `${paint} ms`);
  });

  test('a link signs in, and its token leaves the address and the history', async () => {
    await page.goto(`${box.url}/#/live&token=${box.keys.user}`);
    await page.reload(); // only the fragment changed
    await page.getByRole('button', { name: 'Start watching' }).waitFor();
    assert.equal(page.url(), `${box.url}/#/live`);
    for (const each of ['scraper', 'realtime', 'function']) await lamp(each, 'up');
    await page.getByText('No show is being watched').waitFor();
    await picture('empty');
    noErrors();
  });

  test('the token is kept', async () => {
    await page.reload();
    await page.getByRole('button', { name: 'Start watching' }).waitFor();
    await lamp('scraper', 'up');
  });
});

describe('with accounts', () => {
  // Supabase's auth server lives on the internet: what it answers is told to the browser here.
  test('by e-mail and password, and out again', async () => {
    const member = await box.page();
    const access_token = await token({ role: 'authenticated', sub: OWNER, email: 'owner@example.test', aud: 'authenticated' });
    const asked = [];
    const reply = (route, status, body) => route.fulfill({ status, contentType: 'application/json', body: JSON.stringify(body) });
    await member.route('**/config.js', (route) => route.fulfill({
      contentType: 'application/javascript',
      body: `window.DEALFLOW_CONFIG = { VITE_SIGN_IN: 'account', VITE_SUPABASE_PUBLISHABLE_KEY: '${box.keys.anon}' };`,
    }));
    await member.route('**/auth/v1/**', (route) => {
      const url = new URL(route.request().url());
      asked.push(url.pathname);
      if (url.pathname.endsWith('/logout')) return route.fulfill({ status: 204 });
      if (url.pathname.endsWith('/otp')) return reply(route, 200, {});
      if (route.request().postDataJSON().password !== 'right') return reply(route, 400, { code: 400, error_code: 'invalid_credentials', msg: 'Invalid login credentials' });
      return reply(route, 200, {
        access_token, token_type: 'bearer', expires_in: 3600, expires_at: nowSeconds() + 3600, refresh_token: 'r',
        user: { id: OWNER, aud: 'authenticated', role: 'authenticated', email: 'owner@example.test', app_metadata: {}, user_metadata: {}, created_at: '2026-01-01T00:00:00Z' },
      });
    });
    await member.goto(box.url);
    await member.getByLabel('E-mail').fill('owner@example.test');
    await member.getByRole('button', { name: 'E-mail me a link instead' }).click();
    await member.getByText('A link is on its way.').waitFor();
    await member.getByLabel('Password').fill('wrong');
    await member.getByRole('button', { name: 'Sign in' }).click();
    await member.getByText('Invalid login credentials').waitFor();
    await member.getByLabel('Password').fill('right');
    await member.getByRole('button', { name: 'Sign in' }).click();
    await member.getByRole('button', { name: 'Start watching' }).waitFor();
    for (const each of ['scraper', 'realtime']) await member.locator(`[data-lamp=${each}][data-state=up]`).waitFor({ timeout: PATIENCE });
    await member.reload(); // the library keeps the session
    await member.locator('[data-lamp=scraper][data-state=up]').waitFor({ timeout: PATIENCE });
    await member.getByRole('button', { name: 'Account' }).click();
    await member.getByText('owner@example.test').waitFor();
    await member.getByRole('button', { name: 'Sign out' }).click();
    await member.getByLabel('Password').waitFor();
    assert.ok(asked.some((each) => each.endsWith('/logout')));
    await member.context().close();
  });
});

describe('watching', () => {
  test('what is no address, and what the scraper refuses, is said beside the field', async () => {
    const field = page.getByLabel('Address of the show');
    await field.fill('my show');
    await page.getByRole('button', { name: 'Start watching' }).click();
    await page.getByText('That is not an address.').waitFor();
    await field.fill('https://example.com/live/x');
    await page.getByRole('button', { name: 'Start watching' }).click();
    await until('the refusal', async () => /Invalid/.test(await page.locator('#start-problem').innerText()), { timeoutMs: PATIENCE });
    assert.equal(await field.inputValue(), 'https://example.com/live/x', 'to be corrected');
    // The session that was made for it is gone again.
    await until('no session left', async () => (await rows('select 1 from public.stream_sessions where user_id = $1', OWNER)).length === 1);
    assert.equal((await sessions()).length, 0);
    page.errors = page.errors.filter((each) => !/status of 400/.test(each)); // Chromium's own line
    noErrors();
  });

  test('a show by its address: its chat appears', async () => {
    first = await desk.watch('show-one');
    await say('hello from the show');
    await lineOf('hello from the show').waitFor({ timeout: PATIENCE });
    await nothingIsMissing(first);
    const [session] = await rows('select user_id, platform, ended_at from public.stream_sessions where id = $1', first);
    assert.deepEqual(session, { user_id: OWNER, platform: 'whatnot', ended_at: null });
  });

  test('a buyer is caught at once, confirmed by the database, and is one alert', async () => {
    await say('I will take it for $45!', { user: 'sara' });
    const line = lineOf('I will take it for $45!');
    await line.waitFor({ timeout: PATIENCE });
    assert.match(await line.getAttribute('class'), /buyer/);
    assert.match(await line.innerText(), /buyer\s*\d+%/);
    const alerts = page.locator('.live-side .alert', { hasText: 'I will take it for $45!' });
    await alerts.locator('.saved.yes').waitFor({ timeout: PATIENCE });
    assert.equal(await alerts.count(), 1);
    assert.match(await alerts.innerText(), /\$45/);
    assert.match(await alerts.innerText(), /\d+%/);
    const [sale] = await rows('select id from public.sales_captured where stream_session_id = $1 and buyer_username = $2', first, 'sara');
    assert.equal(await alerts.getAttribute('data-alert'), sale.id);
    assert.equal(await line.getAttribute('data-id'), sale.id);
    await page.locator('.toast', { hasText: 'sara wants to buy' }).waitFor();
    await until('it to be spoken', async () => (await page.locator('p[role=status]').allInnerTexts()).some((each) => /sara/.test(each)));
  });

  test('a question is marked', async () => {
    await say('what size is that jacket?');
    const line = lineOf('what size is that jacket?');
    await line.locator('.tag.question').waitFor({ timeout: PATIENCE });
  });

  test('chat is text, whatever is in it', async () => {
    const evil = '<img src=x onerror="document.title=\'owned\'"> & <b>bold</b>';
    await say(evil);
    await lineOf(evil).waitFor({ timeout: PATIENCE });
    assert.doesNotMatch(await page.title(), /owned/);
  });

  test('several shows stand side by side, each with its own chat', async () => {
    second = await desk.watch('show-two');
    await say('only in the second', { id: 'show-two' });
    await lineOf('only in the second', second).waitFor({ timeout: PATIENCE });
    assert.equal(await lineOf('only in the second').count(), 0);
    const [a, b] = await Promise.all([panel(first).boundingBox(), panel(second).boundingBox()]);
    assert.ok(Math.abs(a.y - b.y) < 2 && Math.abs(a.x - b.x) > 200, 'beside each other');
    await picture('two-shows');
    noErrors();
  });

  test('the state of a stream is shown with its reason', async () => {
    await box.site.control({ id: 'show-two', status: 403 });
    await box.site.control({ id: 'show-two', crash: true });
    const state = panel(second).locator('.state-line');
    await until('the stream to be no longer live', async () => !['live', 'quiet'].includes(await panel(second).getAttribute('data-state')), { timeoutMs: 60_000 });
    const reason = await state.innerText();
    assert.ok(reason.length > 10, reason);
    await box.site.control({ id: 'show-two', status: 200 });
    noErrors();
  });
});

describe('reading the chat', () => {
  test('filter and search', async () => {
    await panel(first).getByRole('button', { name: 'Buyers', exact: true }).click();
    await until('buyers only', async () => {
      const kinds = await panel(first).locator('.line').evaluateAll((all) => all.map((each) => each.classList.contains('buyer')));
      return kinds.length > 0 && kinds.every(Boolean);
    });
    await panel(first).getByRole('button', { name: 'All', exact: true }).click();
    await panel(first).getByRole('searchbox').fill('HELLO show');
    await until('one line', async () => (await panel(first).locator('.line').count()) === 1);
    await panel(first).getByRole('searchbox').fill('');
    await until('all lines', async () => (await panel(first).locator('.line').count()) > 3);
  });

  test('scrolled up it stands still and counts what is new', async () => {
    await box.site.control({ id: 'show-one', say: Array.from({ length: 40 }, (_, i) => ({ user: `u${i}`, text: `gm number ${i}` })) });
    await lineOf('gm number 39').waitFor({ timeout: PATIENCE });
    const feed = panel(first).getByRole('log');
    await feed.hover();
    await page.mouse.wheel(0, -300);
    await panel(first).getByRole('button', { name: 'Back to live' }).waitFor();
    const before = await feed.evaluate((each) => each.scrollTop);
    await say('said while reading');
    await panel(first).getByRole('button', { name: '1 new line – back to live' }).waitFor({ timeout: PATIENCE });
    assert.equal(await feed.evaluate((each) => each.scrollTop), before, 'it did not move');
    assert.equal(await lineOf('said while reading').count(), 0);
    await panel(first).getByRole('button', { name: '1 new line – back to live' }).click();
    await lineOf('said while reading').waitFor();
    assert.ok(await feed.evaluate((each) => each.scrollHeight - each.scrollTop - each.clientHeight) < 3, 'at the end');
  });
});

describe('connections that break', () => {
  test('the scraper goes and comes back: the lamp says so, the show goes on, nothing is missing', async () => {
    noErrors();
    await box.scraper.child.stop('SIGTERM');
    await lamp('scraper', 'away');
    await page.locator('[data-notice=connection]', { hasText: 'chat reader is away' }).waitFor({ timeout: PATIENCE });
    await picture('scraper-away');
    // The database feed still shows what comes another way.
    const answer = await box.system.post({ message: 'sent by another way', username: 'phone', streamSessionId: first });
    assert.equal(answer.status, 200, answer.body);
    await lineOf('sent by another way').waitFor({ timeout: PATIENCE });
    await box.scraper.start();
    await lamp('scraper', 'up');
    await panel(first).locator('.state.live, .state.quiet').waitFor({ timeout: PATIENCE });
    await say('the scraper is back');
    await lineOf('the scraper is back').waitFor({ timeout: PATIENCE });
    await nothingIsMissing(first);
    await page.locator('[data-notice=connection]').waitFor({ state: 'detached', timeout: PATIENCE });
    noErrors({ exceptNetwork: true });
  });

  test('the gateway goes and comes back: missed rows are asked for by x_after', async () => {
    const joins = [];
    page.on('websocket', (socket) => socket.on('framesent', ({ payload }) => {
      if (String(payload).includes('phx_join')) joins.push(String(payload));
    }));
    const [last] = await rows('select id from public.chat_messages where stream_session_id = $1 order by created_at desc, id desc limit 1', first);
    await nothingIsMissing(first);
    await box.gateway.stop();
    await lamp('realtime', 'away');
    // The scraper tells at once; what it does not know of stays unseen until the gateway is back.
    await say('the gateway is away');
    await lineOf('the gateway is away').waitFor({ timeout: PATIENCE });
    assert.equal(await lineOf('the gateway is away').getAttribute('data-stored'), 'false');
    const answer = await box.system.post({ message: 'I will take it for $30!', username: 'late_buyer', streamSessionId: first });
    assert.equal(answer.status, 200, answer.body);
    await page.locator('[data-notice=connection]', { hasText: 'database feed is away' }).waitFor({ timeout: PATIENCE });
    await box.gateway.start();
    await lamp('realtime', 'up');
    await lineOf('I will take it for $30!').waitFor({ timeout: PATIENCE });
    await page.locator('.live-side .alert', { hasText: 'I will take it for $30!' }).locator('.saved.yes').waitFor({ timeout: PATIENCE });
    await nothingIsMissing(first);
    assert.ok(joins.some((each) => each.includes(`"x_after":"${last.id}"`)), `no join asks from ${last.id} on: ${joins.join('\n').slice(0, 2000)}`);
    noErrors({ exceptNetwork: true });
  });

  test('the function goes and comes back: buyers are seen at once and confirmed later', async () => {
    await box.system.program.stop();
    await lamp('function', 'away');
    await page.locator('[data-notice=connection]', { hasText: 'Buyer detection is away' }).waitFor({ timeout: PATIENCE });
    await say('sold! I will take two for $60', { user: 'patient' });
    const alert = page.locator('.live-side .alert', { hasText: 'I will take two for $60' });
    await alert.waitFor({ timeout: PATIENCE });
    assert.equal(await alert.getAttribute('data-confirmed'), 'false');
    assert.match(await alert.innerText(), /Saving/);
    await page.locator('[data-notice=connection]', { hasText: 'to be stored' }).waitFor({ timeout: PATIENCE });
    await picture('function-away');
    await box.system.program.start();
    await lamp('function', 'up');
    await alert.locator('.saved.yes').waitFor({ timeout: 30_000 });
    assert.equal(await alert.count(), 1);
    await nothingIsMissing(first);
    noErrors({ exceptNetwork: true });
  });
});

describe('buyers', () => {
  test('marked as contacted, filtered, found', async () => {
    await go('buyers');
    const sara = page.locator('.alert', { hasText: 'sara' });
    await sara.getByRole('button', { name: 'Contacted' }).click();
    await page.getByRole('button', { name: 'Contacted', exact: true }).first().click();
    await until('sara only', async () => (await page.locator('.alert').count()) === 1);
    await page.getByRole('button', { name: 'To contact' }).click();
    await until('the others', async () => (await page.locator('.alert').count()) >= 2 && (await sara.count()) === 0);
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await page.getByRole('searchbox', { name: 'Search buyers' }).fill('sara');
    await until('sara again', async () => (await page.locator('.alert').count()) === 1);
    await page.getByRole('searchbox', { name: 'Search buyers' }).fill('');
    await page.reload();
    await until('the mark to be remembered', async () =>
      (await page.locator('.alert', { hasText: 'sara' }).getByRole('button', { name: 'Contacted' }).getAttribute('aria-pressed')) === 'true', { timeoutMs: PATIENCE });
  });

  test('as CSV that no spreadsheet runs', async () => {
    const answer = await box.system.post({ message: 'I will take it for $20!', username: '=HYPERLINK("http://x")', streamSessionId: first });
    assert.equal(answer.status, 200, answer.body);
    await page.locator('.alert', { hasText: '=HYPERLINK' }).locator('.saved.yes').waitFor({ timeout: PATIENCE });
    const coming = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Export CSV' }).click();
    const file = await coming;
    assert.match(file.suggestedFilename(), /^dealflow-buyers-\d{4}-\d\d-\d\d\.csv$/);
    const text = fs.readFileSync(await file.path(), 'utf8');
    assert.ok(text.startsWith('\uFEFFtime,show,buyer,message,'), text.slice(0, 60));
    assert.ok(text.includes('"\'=HYPERLINK(""http://x"")",I will take it for $20!,'), text);
    const sara = text.split('\r\n').find((each) => each.includes(',sara,'));
    assert.match(sara, /,I will take it for \$45!,.*,45,0\.\d+,\w+,yes,yes,[0-9a-f-]{36}$/);
  });

  test('copied', async () => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.locator('.alert', { hasText: 'sara' }).getByRole('button', { name: 'Copy' }).click();
    await page.locator('.alert', { hasText: 'sara' }).getByText('Copied').waitFor();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^sara: I will take it for \$45!.* – \$45$/);
    noErrors();
  });
});

describe('afterwards', () => {
  test('stopped: the session is over, and the page says so', async () => {
    await go('live');
    await panel(first).getByRole('button', { name: 'Stop' }).click();
    await panel(first).locator('.state.closed').waitFor({ timeout: PATIENCE });
    await until('ended_at to be set', async () => (await rows('select ended_at from public.stream_sessions where id = $1', first))[0].ended_at !== null);
    assert.equal((await box.scraper.get('/api/streams', { headers: { authorization: `Bearer ${box.keys.user}` } })).json.streams.some((each) => each.sessionId === first), false);
    noErrors();
  });

  test('its numbers are those of the database', async () => {
    await go('past');
    await page.locator(`.show[href="#/past/${first}"]`).click();
    const [{ lines, buyers }] = await rows(`
      select (select count(*)::int from public.chat_messages where stream_session_id = $1) as lines,
             (select count(*)::int from public.sales_captured where stream_session_id = $1) as buyers`, first);
    const fact = async (name) => (await page.locator('.facts div', { hasText: name }).locator('dd').innerText()).trim();
    await until('the figures', async () => (await fact('Chat lines')) === String(lines) && (await fact('Buyers saved')) === String(buyers), { timeoutMs: PATIENCE });
    await until('four charts', async () => (await page.locator('.chart canvas').count()) === 4, { timeoutMs: PATIENCE });
    // The table beneath each chart holds what is drawn.
    await page.locator('.chart', { hasText: 'Buyers and offers' }).locator('summary').click();
    const caught = await page.locator('.chart', { hasText: 'Buyers and offers' }).locator('.table-frame tbody td:nth-child(2)').allInnerTexts();
    assert.equal(caught.reduce((sum, each) => sum + Number(each), 0), buyers);
    await picture('numbers');
  });

  test('replayed', async () => {
    await page.getByRole('link', { name: 'Replay' }).click();
    assert.ok((await page.locator('.replay .line').count()) <= 1);
    await page.getByRole('button', { name: '64×' }).click();
    await page.getByRole('button', { name: 'Play' }).click();
    const stored = await box.stored(first);
    await until('the last line', async () => (await page.locator('.replay .line').count()) === Math.min(120, stored), { timeoutMs: PATIENCE });
    await page.locator('.replay .line.buyer', { hasText: 'I will take it for $45!' }).waitFor();
    await page.getByRole('button', { name: 'Play' }).waitFor(); // at its end it stopped
    await page.getByRole('slider', { name: 'Position' }).fill('0');
    await until('back at the start', async () => (await page.locator('.replay .line').count()) <= 6);
    await picture('replay');
  });

  test('what if the threshold were another one', async () => {
    await page.getByRole('link', { name: 'What if' }).click();
    for (const threshold of [70, 20, 99]) {
      const [{ n }] = await rows(`
        select count(*)::int as n from public.message_analysis a join public.chat_messages m on m.id = a.message_id
        where m.stream_session_id = $1 and a.is_buyer and a.confidence >= $2::float8 - 1e-9`, first, threshold / 100);
      await page.getByRole('slider', { name: 'Threshold' }).fill(String(threshold));
      await until(`${n} buyers at ${threshold} %`, async () => Number(await page.locator('[data-what-if]').getAttribute('data-what-if')) === n, { timeoutMs: PATIENCE });
    }
    await picture('what-if');
    noErrors();
  });

  test('somebody else sees none of it', async () => {
    const other = await box.page({ colorScheme: 'light' });
    await other.goto(`${box.url}/#token=${await token({ role: 'authenticated', sub: OTHER_OWNER })}`);
    await other.getByText('No show is being watched').waitFor({ timeout: PATIENCE });
    const others = new Desk(box, other);
    await others.go('buyers');
    await other.getByText('No buyers yet').waitFor();
    await others.go('past');
    await other.locator(`.show[href="#/past/${OTHER_SESSION}"]`).waitFor({ timeout: PATIENCE });
    assert.equal(await other.locator('.show').count(), 1);
    await others.go(`past/${first}`);
    await other.getByText('There is no such show, or it is not yours.').waitFor({ timeout: PATIENCE });
    assert.deepEqual(other.errors, []);
    await other.context().close();
  });

  test('a token that ends is told before and after', async () => {
    const brief = await box.page();
    const exp = nowSeconds() + 5;
    await brief.goto(`${box.url}/#token=${await token({ role: 'authenticated', sub: OWNER, exp })}`);
    await brief.getByText('Your token expires in 1 minute.').waitFor({ timeout: PATIENCE });
    await brief.getByText('Your token has expired.').waitFor({ timeout: PATIENCE });
    await brief.getByRole('button', { name: 'Sign in again' }).click();
    await brief.getByLabel('Token, or the link that carries it').fill(`${box.url}/#token=${box.keys.user}`);
    await brief.getByRole('button', { name: 'Sign in' }).click();
    await brief.getByRole('button', { name: 'Start watching' }).waitFor();
    await brief.context().close();
  });
});

describe('for everybody', () => {
  test('by keyboard alone', async () => {
    await go('live');
    await page.reload(); // the focus begins at the beginning
    await page.getByRole('button', { name: 'Start watching' }).waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '');
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Skip to the page');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'main');
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Address of the show', 'the first thing on the page');
    await page.keyboard.press('2'); // a digit in a field is a digit
    assert.equal(await page.getByLabel('Address of the show').inputValue(), '2');
    await page.getByLabel('Address of the show').fill('');
    await page.evaluate(() => document.activeElement?.blur());
    for (const [key, name] of [['2', 'Buyers'], ['3', 'Numbers'], ['4', 'Past shows'], ['1', 'Live']]) {
      await page.keyboard.press(key);
      await page.locator('nav a[aria-current=page]', { hasText: name }).first().waitFor();
    }
    await page.keyboard.press('n');
    assert.equal(await focused(), 'Address of the show');
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'hidden' });
    await page.keyboard.press('m');
    await page.getByTitle('Sound off').waitFor();
    await until('the setting to be stored', async () => (await rows('select alert_sound_enabled as it from public.user_settings where user_id = $1', OWNER))[0]?.it === false);
  });

  for (const [kind, width, height] of [['phone', 390, 844], ['wide', 1440, 900]]) {
    for (const colorScheme of ['dark', 'light']) {
      test(`no serious finding of axe: ${kind}, ${colorScheme}`, async () => {
        await page.setViewportSize({ width, height });
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
        const bad = [];
        for (const [name, where, ready] of [
          ['live', 'live', '.panel .line'], ['buyers', 'buyers', '.alert'], ['numbers', `numbers/${first}`, '.chart canvas'], ['past', 'past', '.show'],
          ['replay', `past/${first}/replay`, '.replay-bar'], ['whatIf', `past/${first}/whatIf`, '.verdicts'],
        ]) {
          await go(where);
          await page.locator(ready).first().waitFor({ timeout: PATIENCE });
          await page.evaluate(() => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); }));
          await page.evaluate(axeSource);
          const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
          for (const each of violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
            bad.push(`${name}: ${each.id}: ${each.help}: ${each.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(' | ')}`);
          }
          const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          if (wide > 0) bad.push(`${name}: ${wide} px wider than the screen`);
          await picture(`${kind}-${colorScheme}-${name}`);
        }
        assert.deepEqual(bad, []);
      });
    }
  }

  test('light and bright: under 300 KiB in all, charts too', async () => {
    const cold = await box.page();
    const cdp = await cold.context().newCDPSession(cold);
    await cdp.send('Network.enable');
    let bytes = 0;
    const files = new Map();
    cdp.on('Network.responseReceived', ({ requestId, response }) => files.set(requestId, response.url));
    cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
      if (/\/assets\/|\.js$|\.svg$|\/$/.test(files.get(requestId) ?? '')) bytes += encodedDataLength;
    });
    await cold.goto(`${box.url}/#/numbers/${first}&token=${box.keys.user}`);
    await cold.locator('.chart canvas').first().waitFor({ timeout: PATIENCE });
    console.log(`transferred: ${Math.round(bytes / KIB)} KiB`);
    assert.ok(bytes > 50 * KIB && bytes < 300 * KIB, `${Math.round(bytes / KIB)} KiB`);
    await cold.context().close();
    noErrors();
  });
});
