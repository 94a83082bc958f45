// Every case of contract/edge-contract-cases.json that applies, against the real program behind the
// real nginx with the real Postgres and a fake model server; stored rows included.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startSystem, SESSION, OWNER } from './lib/system.mjs';
import { JWT_SECRET, keyPair, nowSeconds, token } from './lib/tokens.mjs';
import { until } from './lib/wait.mjs';

const cases = JSON.parse(
  fs.readFileSync(new URL('./contract/edge-contract-cases.json', import.meta.url), 'utf8'),
);

const PUBLISHABLE = 'sb_publishable_contract';
const FUNCTION = '/functions/v1/monitor-realtime-stream';

// Which settings a case's `given.env` asks for.
function settingsOf(given) {
  const words = given.env ?? '';
  const settings = { ANALYZER: 'off' };
  if (words.includes('ANALYZER=gateway')) settings.ANALYZER = 'gateway';
  for (const pair of words.split(/;\s*/)) {
    const setting = pair.match(/^(JWT_VERIFY|AI_ON_ERROR|AI_BREAKER)=(\w+)$/);
    if (setting) settings[setting[1]] = setting[2];
  }
  return settings;
}

const groups = new Map();
for (const one of cases) {
  if (one.layer === 'client') continue; // see client.test.mjs
  const settings = settingsOf(one.given);
  const name = Object.entries(settings).map(([key, value]) => `${key}=${value}`).join(' ');
  if (!groups.has(name)) groups.set(name, { settings, cases: [] });
  groups.get(name).cases.push(one);
}

const keys = {
  es: await keyPair('ES256', 'es-key'),
  rs: await keyPair('RS256', 'rs-key'),
};
const foreign = {
  ES256: await keyPair('ES256', 'es-key'), // same kid, another key
  ES384: await keyPair('ES384'),
  PS256: await keyPair('PS256'),
  EdDSA: await keyPair('EdDSA'),
};

// Turns `<jwt:...>` into a token of that kind.
async function fillToken(text) {
  const found = text.match(/<([^>]*)>/);
  if (!found) return text;
  const put = (value) => text.replace(found[0], () => value);
  const words = found[1];
  const now = nowSeconds();
  const makers = {
    jwt: () => token(),
    'jwt:HS256,valid': () => token(),
    'jwt:HS256,wrong-secret': () => token({ secret: 'some-other-secret-of-thirty-two-characters' }),
    'jwt:HS256,exp=now-1': () => token({ exp: now - 1 }),
    'jwt:HS256,exp=now': () => token({ exp: now }),
    'jwt:HS256,exp="…"': () => token({ exp: 'tomorrow' }),
    'jwt:HS256,role=anon': () => token({ role: 'anon' }),
    'jwt:HS256,role=authenticated,sub=…': () => token({ role: 'authenticated', sub: OWNER }),
    'jwt:HS256,no exp': () => token({ exp: null }),
    'jwt:HS256,iat=now+600': () => token({ iat: now + 600 }),
    'jwt:ES256,kid known': () => token({ alg: 'ES256', key: keys.es.privateKey, kid: 'es-key' }),
    'jwt:RS256,kid known': () => token({ alg: 'RS256', key: keys.rs.privateKey, kid: 'rs-key' }),
    'jwt:ES256,known kid, other key': () =>
      token({ alg: 'ES256', key: foreign.ES256.privateKey, kid: 'es-key' }),
    'jwt:ES256,exp=now-9': () =>
      token({ alg: 'ES256', key: keys.es.privateKey, kid: 'es-key', exp: now - 9 }),
    'jwt:HS512': () => token({ alg: 'HS512' }),
    'jwt:PS256': () => token({ alg: 'PS256', key: foreign.PS256.privateKey }),
    'jwt:EdDSA': () => token({ alg: 'EdDSA', key: foreign.EdDSA.privateKey }),
    'jwt:ES384': () => token({ alg: 'ES384', key: foreign.ES384.privateKey }),
    'jwt:none': () => token({ alg: 'none' }),
    '…': () => undefined,
  };
  if (text.includes('sb_publishable_')) return text.replace(/sb_publishable_<[^>]*>/, PUBLISHABLE);
  assert.ok(makers[words], `a token of kind "${words}" is unknown to this test`);
  return put(await makers[words]());
}

async function headersOf(one) {
  const out = {};
  for (const [name, value] of Object.entries(one.request.headers ?? {})) {
    out[name] = await fillToken(value);
  }
  return out;
}

function bodyOf({ body, body_base64: encoded, body_gen: plan }) {
  if (encoded !== undefined) return Buffer.from(encoded, 'base64');
  if (plan === undefined) return body;
  const filled = structuredClone(plan.template);
  for (const [key, value] of Object.entries(filled)) {
    if (value === '<repeat>') filled[key] = plan.repeat.char.repeat(plan.repeat.times ?? plan.repeat.count);
  }
  return JSON.stringify(filled);
}

// The status and text a fake model gives in this case.
function modelOf({ ai, ai_response: reply }) {
  const found = ai?.match(/answers HTTP (\d+)/);
  if (!found) return { status: 500, body: 'not reached' };
  const body = typeof reply === 'object' ? JSON.stringify(reply) : reply; // text is sent as it is
  return { status: Number(found[1]), body };
}

// How the database gets into the state that `given.how` names, and out of it again.
const states = {
  'test trigger on chat_messages that raises': {
    on: `create function public.test_raise() returns trigger language plpgsql as
           $$ begin raise exception 'test' using errcode = 'XX000'; end $$;
         create trigger test_raise before insert on public.chat_messages
           for each row execute function public.test_raise()`,
    off: 'drop function public.test_raise() cascade',
  },
  "insert privilege on chat_messages revoked from the program's role": {
    on: 'revoke insert on public.chat_messages from service_role',
    off: 'grant insert on public.chat_messages to service_role',
  },
  'test drops NOT NULL on stream_sessions.user_id': {
    on: `alter table public.stream_sessions alter column user_id drop not null;
         update public.stream_sessions set user_id = null`,
    off: `update public.stream_sessions set user_id = '${OWNER}';
          alter table public.stream_sessions alter column user_id set not null`,
  },
  'test trigger on sales_captured that raises 23503': {
    on: `create function public.test_raise() returns trigger language plpgsql as
           $$ begin raise exception 'test' using errcode = '23503'; end $$;
         create trigger test_raise before insert on public.sales_captured
           for each row execute function public.test_raise()`,
    off: 'drop function public.test_raise() cascade',
  },
};

function checkHeaders(answer, wanted, one) {
  for (const [name, value] of Object.entries(wanted ?? {})) {
    const got = answer.headers[name];
    if (value === '<seconds>') assert.match(got ?? '', /^[1-9]\d*$/, `${name} of ${one.name}`);
    else assert.ok(got?.startsWith(value), `${name}: want "${value}...", got "${got}"`);
  }
  // Checklist 3 and 4: every answer of any status.
  assert.ok(answer.headers['access-control-allow-origin']?.startsWith('*'), 'CORS origin');
  assert.ok(
    answer.headers['access-control-allow-headers']?.startsWith(
      'authorization, x-client-info, apikey, content-type',
    ),
    'the four original CORS header names come first',
  );
  assert.ok(answer.headers['content-length'] !== undefined, 'content-length is always there');
  if (wanted?.['content-type']) assert.equal(answer.headers['content-type'], wanted['content-type']);
  assert.equal(answer.headers['x-relay-error'], undefined);
}

const FULL = ['is_buyer', 'confidence', 'message_type', 'auto_captured'];

function checkSuccessBody(body) {
  const value = JSON.parse(body);
  assert.equal(body, JSON.stringify(value), 'compact, numbers as JavaScript prints them');
  assert.deepEqual(Object.keys(value), ['success', 'analyzed', 'analysis']);
  assert.equal(value.success, true);
  assert.equal(value.analyzed, true);
  assert.deepEqual(Object.keys(value.analysis), FULL, 'keys of analysis, in order');
  assert.equal(typeof value.analysis.is_buyer, 'boolean');
  assert.equal(typeof value.analysis.auto_captured, 'boolean');
  assert.ok(value.analysis.confidence >= 0 && value.analysis.confidence <= 1);
  return value.analysis;
}

function checkBody(answer, expect, method) {
  if (method === 'HEAD') {
    assert.equal(answer.body, '');
    return;
  }
  switch (expect.body_match) {
    case 'exact':
      assert.equal(answer.body, expect.body);
      break;
    case 'shape': {
      const value = JSON.parse(answer.body);
      const model = JSON.parse(expect.body);
      assert.deepEqual(Object.keys(value), Object.keys(model), 'same keys in the same order');
      assert.equal(typeof value.error, 'string');
      assert.ok(value.error.length > 0);
      assert.equal(value.success, false);
      break;
    }
    case 'analysis': {
      const analysis = checkSuccessBody(answer.body);
      for (const [key, value] of Object.entries(expect.analysis)) {
        assert.equal(analysis[key], value, `analysis.${key}`);
      }
      break;
    }
    case 'success':
      checkSuccessBody(answer.body);
      break;
    case undefined: // cases that only say "passes"
      assert.equal(expect.passes, true);
      assert.equal(answer.status, 200, answer.body);
      assert.equal(JSON.parse(answer.body).success, true);
      break;
    default:
      assert.fail(`unknown body_match ${expect.body_match}`);
  }
}

// Texts that were cut in the file ({"$text","$chars"}) compare by length and beginning.
function same(got, want, what) {
  if (want !== null && typeof want === 'object' && '$text' in want) {
    assert.equal([...got].length, want.$chars, what);
    assert.ok(got.startsWith(want.$text.replace(/…$/, '')), what);
  } else {
    assert.equal(got, want, what);
  }
}

async function checkRows(system, expect) {
  const { rows: messages } = await system.db.query('select * from public.chat_messages');
  const { rows: sales } = await system.db.query('select * from public.sales_captured');
  if (expect.db === undefined) {
    // A refused request leaves nothing; one whose analysis failed leaves the message, no sale.
    if (expect.status >= 400) assert.equal(sales.length, 0, 'no sale from a failed request');
    if (expect.status >= 400 && expect.status < 500 && ![402, 429].includes(expect.status)) {
      assert.equal(messages.length, 0, 'no message from a refused request');
    }
    if (expect.status === 503) assert.equal(messages.length, 0, 'a lost message is not half there');
    if ([402, 429, 502, 504].includes(expect.status)) {
      assert.equal(messages.length, 1, 'a message stays although its analysis failed');
    }
    return;
  }
  assert.equal(messages.length, 1, 'exactly one message');
  assert.equal(messages[0].stream_session_id, SESSION);
  for (const [column, value] of Object.entries(expect.db.chat_messages)) {
    same(messages[0][column], value, `chat_messages.${column}`);
  }
  if (expect.db.sales_captured === undefined) return;
  if (expect.db.sales_captured === null) {
    assert.equal(sales.length, 0, 'no sale');
  } else {
    assert.equal(sales.length, 1, 'exactly one sale');
    assert.equal(sales[0].id, messages[0].id, 'a sale has the id of its message');
    assert.equal(sales[0].stream_session_id, SESSION);
    for (const [column, value] of Object.entries(expect.db.sales_captured)) {
      same(sales[0][column], value, `sales_captured.${column}`);
    }
  }
  const { rows: [stats] } = await system.db.query(
    'select total_sales_caught as n, total_revenue_recovered as value from public.stream_sessions where id = $1',
    [SESSION],
  );
  assert.equal(stats.n, sales.length, 'total_sales_caught counts each sale once');
  assert.equal(Number(stats.value), Number(sales[0]?.estimated_value ?? 0), 'total_revenue_recovered');
}

// Checklist 18: one call for an analysed message, none for a rejected one; 14 and 41: what the model
// is told is the text itself, as JSON data.
function checkModel(system, one, answer) {
  const asked = system.model.requests.length;
  const analysed = one.expect.status === 200 && system.settings.ANALYZER === 'gateway' && one.request.method === 'POST';
  if (analysed && JSON.parse(answer.body).analyzed) {
    assert.equal(asked, 1, 'exactly one AI call');
  } else if ([400, 401, 403, 404, 405, 413].includes(answer.status)) {
    assert.equal(asked, 0, 'no AI call for a rejected request');
  }
  if (asked > 0 && one.expect.db?.chat_messages) {
    const { messages } = system.model.requests[0].json;
    const said = messages.map((each) => each.content).join('\n');
    const { message } = one.expect.db.chat_messages;
    if (typeof message === 'string') {
      const quoted = JSON.stringify(message).slice(1, -1);
      const readable = said.includes(quoted) || said.includes(message) ||
        JSON.stringify(said).includes(quoted);
      assert.ok(readable || /[\u0000-\u001f\u200b-\u202f\\]/.test(quoted), `the prompt holds the text: ${said.slice(-400)}`);
      if (/["\n]/.test(message)) {
        assert.ok(!said.includes(message), 'quotes and newlines of a message are escaped');
      }
    }
  }
}

// A case that is run elsewhere or brings down something runs after the others of its group.
const needsStop = (one) => one.given.how === 'Postgres stopped' || one.name === 'gw_boot_error';

for (const [name, group] of groups) {
  describe(`contract: ${name}`, { skip: group.cases.some((one) => one.applies) ? false : 'no case applies' }, () => {
    let system;

    before(async () => {
      system = await startSystem({
        env: {
          ...group.settings,
          AI_API_KEY: group.settings.ANALYZER === 'gateway' ? 'test-key' : '',
          AI_TIMEOUT_MS: '3000',
          API_KEYS: `${PUBLISHABLE}=anon`,
          RATE_ANON_PER_S: '1000',
          JWT_SECRET,
        },
        jwks: [keys.es.jwk, keys.rs.jwk],
      });
    });
    after(() => system?.stop());

    const ordered = [...group.cases].sort((a, b) => needsStop(a) - needsStop(b));
    for (const one of ordered) {
      test(one.name, { skip: one.applies ? false : one.why_not }, async () => {
        await system.clean();
        system.model.reply(modelOf(one.given));
        const state = states[one.given.how];
        if (one.given.how === 'Postgres stopped') await system.postgres.stop('immediate');
        else if (one.given.how) assert.ok(state, `unknown state: ${one.given.how}`);
        if (one.name === 'gw_boot_error') await system.program.child.stop('SIGTERM');
        if (state) await system.db.query(state.on);
        let answer;
        try {
          answer = await system.request(one.request.path, {
            method: one.request.method,
            headers: await headersOf(one),
            body: bodyOf(one.request),
          });
        } finally {
          if (state) await system.db.query(state.off);
          if (one.given.how === 'Postgres stopped') {
            await system.postgres.start();
            await system.reconnect();
          }
          if (one.name === 'gw_boot_error') await system.program.start();
        }
        if (typeof one.expect.status === 'number') {
          assert.equal(answer.status, one.expect.status, answer.body);
        }
        checkHeaders(answer, one.expect.headers, one);
        checkBody(answer, one.expect, one.request.method);
        await checkRows(system, one.expect);
        checkModel(system, one, answer);
      });
    }
  });
}

test('the repeated line of a show is a new message each time when it has no id', async () => {
  const system = await startSystem({ env: { ANALYZER: 'off' } });
  try {
    const body = { message: 'dup', username: 'test_buyer', streamSessionId: SESSION };
    for (let i = 0; i < 2; i++) assert.equal((await system.post(body)).status, 200);
    const { rows } = await system.db.query("select id from public.chat_messages where message = 'dup'");
    assert.equal(rows.length, 2);
  } finally {
    await system.stop();
  }
});

test('every gateway and function case is either run or skipped with its reason', () => {
  assert.equal(cases.length, 160);
  for (const one of cases) {
    assert.ok(one.applies || one.why_not, `${one.name} neither applies nor says why not`);
  }
  assert.equal(cases.filter((one) => !one.applies).length, 5);
});
