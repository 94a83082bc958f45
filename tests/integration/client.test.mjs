// The real client libraries: how they classify answers (contract cases of layer "client", against a
// stub) and that each generation of them gets through our door (checklist 19 and 20).
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { FunctionsClient } from '@supabase/functions-js';
import WebSocket from 'ws';
import { startSystem, OWNER, SESSION } from './lib/system.mjs';
import { freePort } from './lib/wait.mjs';
import { token } from './lib/tokens.mjs';

// supabase-js makes its realtime client at once, and Node 18 and 20 have no WebSocket of their own.
globalThis.WebSocket ??= WebSocket;
const clients = {
  'supabase-js 2.78.0': await import('@supabase/supabase-js'),
  'supabase-js 2.109.0': await import('supabase-js-2109'),
  'supabase-js 2.119.1': await import('supabase-js-2119'),
};

const cases = JSON.parse(
  fs.readFileSync(new URL('./contract/edge-contract-cases.json', import.meta.url), 'utf8'),
).filter((one) => one.layer === 'client');

describe('functions-js 2.109.0 against a stub', () => {
  let server;
  let base;
  let next;
  before(async () => {
    server = http.createServer((request, response) => {
      request.resume();
      response.writeHead(next.status, next.headers);
      response.end(next.body);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `http://127.0.0.1:${server.address().port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const checks = {
    'data is a string, not an object': ({ data, error }) => {
      assert.equal(error, null);
      assert.equal(data, '{"success":true}');
    },
    'data null, error FunctionsHttpError, error.context is the Response': ({ data, error }) => {
      assert.equal(data, null);
      assert.equal(error.name, 'FunctionsHttpError');
      assert.equal(error.context.status, next.status);
      assert.equal(typeof error.context.json, 'function');
    },
    'data null, error FunctionsHttpError': ({ data, error }) => {
      assert.equal(data, null);
      assert.equal(error.name, 'FunctionsHttpError');
    },
    'error FunctionsRelayError': ({ error }) => assert.equal(error.name, 'FunctionsRelayError'),
    'data null, error is a plain SyntaxError': ({ data, error }) => {
      assert.equal(data, null);
      assert.equal(error.name, 'SyntaxError');
    },
    'data is the empty string, error null': ({ data, error }) => {
      assert.equal(error, null);
      assert.equal(data, '');
    },
    'error FunctionsFetchError': ({ error }) => assert.equal(error.name, 'FunctionsFetchError'),
  };

  for (const one of cases) {
    test(one.name, { skip: one.applies ? false : one.why_not }, async () => {
      let url = base;
      const said = one.given.words.match(/^server answers (\d+) (\{.*?\})(?: (.*))?$/s);
      if (said) next = { status: Number(said[1]), headers: JSON.parse(said[2]), body: said[3] ?? '' };
      else {
        assert.equal(one.given.words, 'connection refused');
        url = `http://127.0.0.1:${await freePort()}`;
      }
      const check = checks[one.expect.classified_as];
      assert.ok(check, `unknown class "${one.expect.classified_as}"`);
      const client = new FunctionsClient(`${url}/functions/v1`, { headers: { apikey: 'key', Authorization: 'Bearer key' } });
      check(await client.invoke('monitor-realtime-stream', { body: {} }));
    });
  }

  test('all client cases are known', () => assert.equal(cases.length, 7));
});

describe('clients at our door', () => {
  let system;
  let keys;
  before(async () => {
    system = await startSystem({
      env: {
        ANALYZER: 'gateway', AI_API_KEY: 'k', AI_ON_ERROR: 'fail', AI_BREAKER: 'off',
        API_KEYS: 'sb_publishable_door=anon,sb_secret_door=service_role', RATE_ANON_PER_S: '1000',
      },
    });
    keys = {
      'legacy anon key': await token({ role: 'anon' }),
      'legacy service key': await token({ role: 'service_role' }),
      'publishable key': 'sb_publishable_door',
      'secret key': 'sb_secret_door',
    };
  });
  after(() => system?.stop());

  const body = { message: 'I will take it!', username: 'test_buyer', streamSessionId: SESSION, platform: 'whatnot' };
  const options = { auth: { persistSession: false, autoRefreshToken: false } };

  for (const [name, { createClient }] of Object.entries(clients)) {
    for (const kind of ['legacy anon key', 'legacy service key', 'publishable key', 'secret key']) {
      test(`${name} with a ${kind}`, async () => {
        system.model.buyer();
        const { data, error } = await createClient(system.url, keys[kind], options)
          .functions.invoke('monitor-realtime-stream', { body });
        assert.equal(error, null);
        assert.deepEqual(data, {
          success: true, analyzed: true,
          analysis: { is_buyer: true, confidence: 0.95, message_type: 'direct_purchase', auto_captured: true },
        });
      });
    }

    test(`${name} with a user's access token`, async () => {
      system.model.buyer();
      const access = await token({ role: 'authenticated', sub: OWNER });
      const { data, error } = await createClient(system.url, keys['publishable key'], { ...options, accessToken: async () => access })
        .functions.invoke('monitor-realtime-stream', { body });
      assert.equal(error, null);
      assert.equal(data.success, true);
    });

    test(`${name} with text, bytes, another region and an extra path`, async () => {
      system.model.notBuyer();
      const client = createClient(system.url, keys['legacy service key'], options);
      for (const [how, sent, more] of [
        ['text', JSON.stringify(body), {}],
        ['bytes', new TextEncoder().encode(JSON.stringify(body)).buffer, {}],
        ['region', body, { region: 'us-east-1' }],
      ]) {
        const { data, error } = await client.functions.invoke('monitor-realtime-stream', { body: sent, ...more });
        assert.equal(error, null, how);
        assert.equal(data.success, true, how);
      }
    });

    test(`${name}: our errors are FunctionsHttpError with a readable body`, async () => {
      const client = createClient(system.url, keys['legacy service key'], options);
      system.model.reply({ status: 500, body: 'oops' });
      const failures = [
        [{}, 400, /Missing required fields/],
        [{ ...body, streamSessionId: '22222222-2222-4222-8222-222222222222' }, 404, /./],
        [{ ...body, message: 'x'.repeat(100_000) }, 413, /./],
        [body, 502, /AI analysis failed: 500/],
      ];
      for (const [sent, status, text] of failures) {
        const { data, error } = await client.functions.invoke('monitor-realtime-stream', { body: sent });
        assert.equal(data, null);
        assert.equal(error.name, 'FunctionsHttpError', `${status}: ${error}`);
        assert.equal(error.context.status, status);
        assert.match((await error.context.json()).error, text);
      }
      const bad = createClient(system.url, await token({ exp: 1 }), options);
      const { error } = await bad.functions.invoke('monitor-realtime-stream', { body });
      assert.equal(error.name, 'FunctionsHttpError');
      assert.equal(error.context.status, 401);
      assert.equal((await error.context.json()).code, 'UNAUTHORIZED_LEGACY_JWT');
      const lost = await client.functions.invoke('no-such-function', { body });
      assert.equal(lost.error.context.status, 404);
      assert.deepEqual(await lost.error.context.json(), { code: 'NOT_FOUND', message: 'Requested function was not found' });
    });
  }

  test('the unmodified scraper: Authorization and Content-Type only', async () => {
    system.model.notBuyer();
    const response = await fetch(`${system.url}/functions/v1/monitor-realtime-stream`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${keys['legacy service key']}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ streamSessionId: SESSION, username: 'viewer', message: 'hello', platform: 'whatnot' }),
    });
    assert.equal(response.status, 200);
    assert.equal((await response.json()).success, true);
  });

  test('the preflight of a browser is answered for every header the clients send', async () => {
    const response = await fetch(`${system.url}/functions/v1/monitor-realtime-stream`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,apikey,content-type,x-client-info,x-region,traceparent',
      },
    });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), 'ok');
    const allowed = response.headers.get('access-control-allow-headers').split(/,\s*/);
    for (const name of ['authorization', 'x-client-info', 'apikey', 'content-type', 'x-region', 'traceparent', 'tracestate', 'baggage', 'x-supabase-client-platform']) {
      assert.ok(allowed.includes(name), name);
    }
    assert.match(response.headers.get('access-control-allow-methods'), /POST/);
  });
});
