import assert from 'node:assert/strict';
import test from 'node:test';
import { readSettings } from '../src/lib/settings';

const PAGE = 'https://box.example:8443/some/page?x=1#/live';

test('without settings everything is at the page’s own origin', () => {
  assert.deepEqual(readSettings(undefined, {}, PAGE), {
    scraperUrl: 'https://box.example:8443/scraper', scraperWs: 'wss://box.example:8443/scraper',
    supabaseUrl: 'https://box.example:8443', publishableKey: '', signIn: 'token', isOwnOrigin: true,
  });
});

test('a page without TLS speaks ws', () => {
  assert.equal(readSettings({}, {}, 'http://127.0.0.1:8080/').scraperWs, 'ws://127.0.0.1:8080/scraper');
});

test('run time wins over build time, an empty value does not', () => {
  const made = readSettings(
    { VITE_SUPABASE_URL: ' https://run.example/ ', VITE_SUPABASE_PUBLISHABLE_KEY: '' },
    { VITE_SUPABASE_URL: 'https://built.example', VITE_SUPABASE_PUBLISHABLE_KEY: 'built-key' }, PAGE);
  assert.equal(made.supabaseUrl, 'https://run.example');
  assert.equal(made.publishableKey, 'built-key');
  assert.equal(made.isOwnOrigin, false);
});

test('relative addresses are relative to the page', () => {
  const made = readSettings({ VITE_REALTIME_SCRAPER_URL: '/scraper/', VITE_REALTIME_SCRAPER_WS: '/scraper/ws' }, {}, PAGE);
  assert.equal(made.scraperUrl, 'https://box.example:8443/scraper');
  assert.equal(made.scraperWs, 'wss://box.example:8443/scraper/ws');
});

test('one of the scraper’s addresses tells the other', () => {
  const made = readSettings({ VITE_REALTIME_SCRAPER_WS: 'wss://my-app.onrender.com' }, {}, PAGE);
  assert.equal(made.scraperUrl, 'https://my-app.onrender.com');
  assert.equal(readSettings({ VITE_REALTIME_SCRAPER_URL: 'https://my-app.onrender.com' }, {}, PAGE).scraperWs, 'wss://my-app.onrender.com');
});

test('accounts where Supabase is elsewhere, a token on a box of one’s own, or as set', () => {
  const elsewhere = { VITE_SUPABASE_URL: 'https://project.supabase.co' };
  assert.equal(readSettings(elsewhere, {}, PAGE).signIn, 'account');
  assert.equal(readSettings({ ...elsewhere, VITE_SIGN_IN: 'token' }, {}, PAGE).signIn, 'token');
  assert.equal(readSettings({ VITE_SIGN_IN: 'account' }, {}, PAGE).signIn, 'account');
});

test('what is no address is refused by the name of its setting', () => {
  for (const wrong of ['javascript:alert(1)', 'http://', 'file:///etc/passwd']) {
    assert.throws(() => readSettings({ VITE_SUPABASE_URL: wrong }, {}, PAGE), /VITE_SUPABASE_URL/);
  }
});
