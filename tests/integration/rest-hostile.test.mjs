// /rest/v1 under bytes that mean harm: the right error, nothing changed, and the program goes on.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { startRest } from './lib/rest.mjs';
import { OWNER, SESSION } from './lib/system.mjs';
import { token } from './lib/tokens.mjs';

const TABLES = ['profiles', 'user_settings', 'stream_sessions', 'chat_messages', 'sales_captured', 'message_analysis'];
let system;
before(async () => {
  system = await startRest({ env: { REST_BODY_MAX_BYTES: '20000' }, nginx: { REST_BODY_MAX_BYTES: '40000' } });
  await system.db.query(`
    insert into public.chat_messages (stream_session_id, username, message) values ('${SESSION}', 'u', 'hello');
    insert into public.sales_captured (user_id, stream_session_id, platform, buyer_username, message_text)
    values ('${OWNER}', '${SESSION}', 'whatnot', 'u', 'mine')`);
});
after(() => system?.stop());

// Everything there is: rows, tables, roles' memberships.
async function everything() {
  const parts = TABLES.map((name) => `(select coalesce(json_agg(t order by t::text), '[]')::text from public.${name} t)`);
  const { rows: [row] } = await system.db.query(`select ${parts.join(' || ')} ||
    (select string_agg(oid::text || relname, ',' order by oid) from pg_class where relnamespace = 'public'::regnamespace) ||
    (select string_agg(rolname || rolsuper, ',' order by rolname) from pg_roles) as all`);
  return row.all;
}

const SQL = [
  `';drop table public.sales_captured;--`, `" ; drop table public.sales_captured; --`, `1); delete from public.stream_sessions; --`,
  `x' or '1'='1`, `x" or "1"="1`, `$1`, `\\'; select 1; --`, `{"a`, `}`, `id)::text from auth.users--`, `pg_sleep(10)`,
  `*/ drop table x /*`, `\u0000`, `%00`, `%27%3B--`, `${'('.repeat(50)}`, `\u{1f600}`, `\ud7ff`, `%ff%fe`, `%`, `%zz`, `+`,
  `${'a'.repeat(3000)}`, `id;id`, `id&id`, `constructor`, `__proto__`, `../../etc/passwd`, `<script>alert(1)</script>`, `\r\nSet-Cookie: a=b`,
];

// Every answer: JSON in PostgREST's shape where it is an error, and never a 500.
function inspect(answer, what) {
  assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.body}`);
  assert.ok(answer.status !== 502, what);
  if (answer.status === 204 || answer.body === '') return;
  const body = JSON.parse(answer.body);
  if (answer.status >= 400 && answer.status !== 414) // that line nginx did not read assert.deepEqual(Object.keys(body), ['code', 'details', 'hint', 'message'], `${what}: ${answer.body}`);
  assert.equal(answer.headers['set-cookie'], undefined);
}

async function unharmed(what) {
  const before = await everything();
  await what();
  assert.equal(await everything(), before);
  assert.equal((await system.ask('stream_sessions?select=id')).body, `[{"id":"${SESSION}"}]`);
}

const places = {
  'select': (x) => `stream_sessions?select=${x}`,
  'select, alias': (x) => `stream_sessions?select=${x}:id`,
  'select, cast': (x) => `stream_sessions?select=id::${x}`,
  'select, path': (x) => `user_settings?select=ignored_phrases->${x}`,
  'select, path as text': (x) => `user_settings?select=a:ignored_phrases->>${x}`,
  'filter, name': (x) => `stream_sessions?${x}=eq.1`,
  'filter, quoted name': (x) => `stream_sessions?"${x}"=eq.1`,
  'filter, operator': (x) => `stream_sessions?platform=${x}.1`,
  'filter, value': (x) => `stream_sessions?platform=eq.${x}`,
  'filter, uuid': (x) => `stream_sessions?id=eq.${x}`,
  'filter, is': (x) => `stream_sessions?ended_at=is.${x}`,
  'filter, in': (x) => `stream_sessions?platform=in.(${x},"${x}")`,
  'filter, like': (x) => `stream_sessions?platform=like.${x}`,
  'filter, match': (x) => `stream_sessions?platform=match.${x}`,
  'filter, any': (x) => `stream_sessions?platform=eq(any).{${x}}`,
  'filter, contains': (x) => `user_settings?ignored_phrases=cs.${x}`,
  'filter, path': (x) => `user_settings?ignored_phrases->${x}=eq.1`,
  'tree': (x) => `stream_sessions?or=(${x})`,
  'tree, value': (x) => `stream_sessions?or=(platform.eq.${x},id.is.null)`,
  'tree, name': (x) => `stream_sessions?or=(${x}.eq.1)`,
  'order': (x) => `stream_sessions?order=${x}`,
  'order, direction': (x) => `stream_sessions?order=id.${x}`,
  'limit': (x) => `stream_sessions?limit=${x}`,
  'offset': (x) => `stream_sessions?offset=${x}`,
  'table': (x) => x,
  'function': (x) => `rpc/${x}`,
  'apikey': (x) => `stream_sessions?apikey=${x}`,
};

describe('reading', () => {
  for (const [place, make] of Object.entries(places)) {
    test(`SQL and garbage as ${place}`, () => unharmed(async () => {
      for (const text of SQL) {
        for (const x of [text, encodeURIComponent(text.toWellFormed?.() ?? text)]) {
          // What Node refuses to send as a path goes out encoded only.
          if (/[^\x21-\x7e]/.test(x)) continue;
          inspect(await system.ask(make(x)), `${place}: ${x}`);
        }
      }
    }));
  }
  test('the exact errors', async () => {
    const cases = [
      ['stream_sessions?select=id%27', 400, '42703'], ['stream_sessions?nope=eq.1', 400, '42703'],
      ['stream_sessions?order=nope', 400, '42703'], ['stream_sessions?id=foo', 400, 'PGRST100'],
      ['stream_sessions?id=foo.1', 400, 'PGRST100'], ['stream_sessions?id=eq', 400, 'PGRST100'],
      ['stream_sessions?id=eq.1', 400, '22P02'], ['stream_sessions?or=(id.eq.1', 400, 'PGRST100'],
      ['stream_sessions?or=()', 400, 'PGRST100'], ['stream_sessions?and=id.eq.1', 400, 'PGRST100'],
      ['stream_sessions?id=in.1', 400, 'PGRST100'], ['stream_sessions?id=in.(1', 400, 'PGRST100'],
      ['stream_sessions?id=is.foo', 400, 'PGRST100'], ['stream_sessions?id=like.x', 404, '42883'],
      ['stream_sessions?platform=match.(', 400, '2201B'], ['stream_sessions?order=id.up', 400, 'PGRST100'],
      ['stream_sessions?limit=x', 400, 'PGRST100'], ['stream_sessions?limit=-1', 416, 'PGRST103'],
      ['stream_sessions?offset=-5', 416, 'PGRST103'], ['stream_sessions?limit=99999999999999999999', 200],
      ['stream_sessions?offset=99999999999999999999', 200], ['stream_sessions?platform=eq.%00', 400, '22021'],
      ['stream_sessions?platform=eq.%ff', 400, '22021'], ['stream_sessions?select=a"b:id', 400, 'PGRST100'],
      ['stream_sessions?select=id::nope', 400, '42704'], ['stream_sessions?select=id,,platform', 400, 'PGRST100'],
      ['stream_sessions?total_sales_caught=eq.99999999999', 400, '22003'],
    ];
    for (const [where, status, code] of cases) {
      const answer = await system.ask(where);
      assert.deepEqual([where, answer.status, JSON.parse(answer.body).code], [where, status, code], answer.body);
    }
    const filter = JSON.parse((await system.ask('stream_sessions?id=foo.bar')).body);
    assert.equal(filter.message, '"failed to parse filter (foo.bar)" (line 1, column 1)');
    assert.equal(filter.details, 'unexpected "f" expecting "not" or operator (eq, gt, ...)');
    const range = await system.ask('stream_sessions?select=id', { headers: { range: '5-2' } });
    assert.deepEqual([range.status, JSON.parse(range.body).code], [416, 'PGRST103']);
    const beyond = await system.ask('stream_sessions?select=id&offset=9', { headers: { prefer: 'count=exact' } });
    assert.deepEqual([beyond.status, JSON.parse(beyond.body).details], [416, 'An offset of 9 was requested, but there are only 1 rows.']);
  });
  test('trees as deep and lists as long as fit', () => unharmed(async () => {
    const deep = (n) => `stream_sessions?select=id&and=${'(or'.repeat(n)}(id.not.is.null)${')'.repeat(n)}`;
    assert.equal((await system.ask(deep(30))).body, `[{"id":"${SESSION}"}]`);
    for (const n of [32, 33, 400, 2000]) inspect(await system.ask(deep(n)), `depth ${n}`);
    assert.equal(JSON.parse((await system.ask(deep(40))).body).code, 'PGRST100');
    inspect(await system.ask(`stream_sessions?id=in.(${Array(190).fill(SESSION).join(',')})`), 'a long list');
    inspect(await system.ask(`stream_sessions?select=${Array(1500).fill('id').join(',')}`), 'many columns');
    inspect(await system.ask(`stream_sessions?${Array(900).fill('id=gt.0').join('&')}`), 'many filters');
    inspect(await system.ask(`user_settings?select=a:ignored_phrases${'->a'.repeat(2000)}`), 'a long path');
    inspect(await system.ask(`stream_sessions?order=${Array(2000).fill('id').join(',')}`), 'a long order');
    const tooLong = await system.ask(`stream_sessions?platform=eq.${'x'.repeat(9000)}`);
    assert.equal(tooLong.status, 414);
    assert.equal(tooLong.headers['sb-error-code'], 'URI_TOO_LONG');
  }));
  test('headers', () => unharmed(async () => {
    for (const text of SQL.filter((each) => !/[^\t\x20-\x7e]/.test(each))) {
      for (const name of ['prefer', 'accept', 'range', 'accept-profile', 'content-profile', 'content-type', 'apikey', 'authorization']) {
        const answer = await system.ask('stream_sessions?select=id', { headers: { [name]: text } });
        assert.ok(answer.status < 500, `${name}: ${text}: ${answer.status} ${answer.body}`);
      }
    }
    for (const prefer of ['max-affected=-1', 'max-affected=1e9', 'handling=strict, x=y', `count=${'x'.repeat(2000)}`, ',,,', 'return=', '=']) {
      inspect(await system.ask('stream_sessions', { headers: { prefer } }), prefer);
    }
    const strict = await system.ask('stream_sessions', { headers: { prefer: 'handling=strict, anything' } });
    assert.deepEqual([strict.status, JSON.parse(strict.body).code, JSON.parse(strict.body).details],
      [400, 'PGRST122', 'Invalid preferences: anything']);
  }));
});

describe('writing', () => {
  const write = (method, where, body, headers = {}) => system.ask(where, { method, body,
    headers: { 'content-type': 'application/json', ...headers } });

  test('bodies that are no rows', () => unharmed(async () => {
    const bodies = [['', 'PGRST102'], ['   ', 'PGRST102'], ['{', 'PGRST102'], ['[{}', 'PGRST102'], ['null', 'PGRST102'], ['1', 'PGRST102'],
      ['"x"', 'PGRST102'], ['[1]', 'PGRST102'], ['[[]]', 'PGRST102'], ['[{},1]', 'PGRST102'], ['{"a":1}}', 'PGRST102'],
      ['[{"platform":"x"},{"id":"y"}]', 'PGRST102'], ['{"platform":"\u0000"}', 'PGRST102'], ['\ufeff{"user_id":null}', '22P02'],
      ['{"user_id":"\\ud800"}', '22P02'], ['{"user_id":"\\u0000"}', '22P05'], ['{"total_sales_caught":1e400}', '22P02'],
      ['{"total_sales_caught":99999999999999}', '22003'], ['{"started_at":"not a time"}', '22007'],
      ['{"nope":1}', 'PGRST204'], ['{"id\\u0022)":1}', 'PGRST204'], [`{"${'k'.repeat(9000)}":1}`, 'PGRST204'],
      [`${'['.repeat(100)}${']'.repeat(100)}`, 'PGRST102'], [`{"id":${'{"a":'.repeat(70)}1${'}'.repeat(70)}}`, 'PGRST102']];
    for (const [body, code] of bodies) {
      for (const [method, where] of [['POST', 'stream_sessions'], ['PATCH', `stream_sessions?id=eq.${SESSION}`]]) {
        const answer = await write(method, where, body);
        inspect(answer, `${method} ${body.slice(0, 60)}`);
        assert.equal(answer.status, 400, `${method} ${body.slice(0, 60)}: ${answer.status} ${answer.body}`);
        assert.equal(JSON.parse(answer.body).code, code, `${method} ${body.slice(0, 60)}: ${answer.body}`);
      }
    }
    const bytes = await write('POST', 'stream_sessions', Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]));
    assert.deepEqual([bytes.status, JSON.parse(bytes.body).code], [400, '22021']);
    const form = await write('POST', 'stream_sessions', 'platform=x', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.deepEqual([form.status, JSON.parse(form.body).code], [400, 'PGRST102']);
  }));
  test('SQL in names and values of a body, in columns and on_conflict', () => unharmed(async () => {
    for (const text of SQL) {
      for (const [method, where] of [['POST', 'stream_sessions'], ['PATCH', `stream_sessions?id=eq.${SESSION}`]]) {
        inspect(await write(method, where, JSON.stringify({ [text]: 1 })), `key ${text}`);
        inspect(await write(method, where, JSON.stringify({ user_id: text, platform: text })), `value ${text}`);
      }
      const x = encodeURIComponent(text.toWellFormed?.() ?? text);
      inspect(await write('POST', `stream_sessions?columns=${x}`, '{"platform":"x"}'), `columns ${x}`);
      inspect(await write('POST', `stream_sessions?on_conflict=${x}`, `{"platform":"x"}`, { prefer: 'resolution=merge-duplicates' }), `on_conflict ${x}`);
      inspect(await write('PATCH', `stream_sessions?id=eq.${x}`, '{"platform":"tiktok"}'), `patch ${x}`);
      inspect(await write('DELETE', `stream_sessions?id=eq.${x}`), `delete ${x}`);
      inspect(await write('DELETE', `stream_sessions?${x}=eq.1`), `delete by ${x}`);
      inspect(await write('DELETE', `stream_sessions?or=(${x})`), `delete or ${x}`);
      inspect(await write('PATCH', `stream_sessions?id=eq.${SESSION}&select=${x}`, '{"platform":"tiktok"}', { prefer: 'return=representation' })
        .then((answer) => (answer.status === 200 ? { ...answer, status: 599 } : answer)), `patch, select ${x}`);
    }
  }));
  test('bodies that are too large, here and at nginx', () => unharmed(async () => {
    const row = (bytes) => JSON.stringify({ platform: 'x'.repeat(bytes) });
    const ours = await write('POST', 'stream_sessions', row(20001));
    assert.deepEqual([ours.status, JSON.parse(ours.body).message], [413, 'Request body is larger than 20000 bytes']);
    const theirs = await write('POST', 'stream_sessions', row(40001));
    assert.deepEqual([theirs.status, JSON.parse(theirs.body).code], [413, 'TOO_LARGE']);
    assert.match(JSON.parse(theirs.body).message, /at most 40000 bytes/);
    inspect(await write('POST', 'stream_sessions', row(19000)), 'just fits');
  }));
  test('many rows in one body', () => unharmed(async () => {
    const rows = Array.from({ length: 900 }, () => ({ id: 'x' }));
    inspect(await write('POST', 'stream_sessions', JSON.stringify(rows)), '900 rows');
  }));
});

describe('on the wire', () => {
  // Raw bytes to nginx; the answer's first line.
  const raw = (text) => new Promise((resolve, reject) => {
    const socket = net.connect(system.nginx.port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (piece) => { answer += piece; });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
  test('request lines that hide something', () => unharmed(async () => {
    const auth = `Host: x\r\nAuthorization: Bearer ${system.ownerToken}\r\nConnection: close\r\n\r\n`;
    for (const target of ['/rest/v1/../v1/stream_sessions', '//rest/v1/stream_sessions', '/rest/v1//stream_sessions', '/rest/v1/%2e%2e/%2e%2e/functions/v1/x',
      '/rest/v1/stream_sessions%3fselect=id', '/rest/v1/stream_sessions#x', '/rest/v1/stream_sessions?select=id#x', '/rest/v1/stream_sessions/', '/rest/v1/.']) {
      const answer = await raw(`GET ${target} HTTP/1.1\r\n${auth}`);
      const status = Number(answer.split(' ')[1]);
      assert.ok(status >= 200 && status < 500, `${target}: ${answer.slice(0, 200)}`);
    }
    const twice = await raw(`POST /rest/v1/stream_sessions HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n${auth}0\r\n\r\n`);
    assert.match(twice, /^HTTP\/1\.1 400 /);
  }));
  test('a claim set that is not what it seems', () => unharmed(async () => {
    for (const claims of [{ sub: `${OWNER}'` }, { sub: '' }, { sub: 7 }, { sub: `{"sub":"${OWNER}"}` }, { x: '\u0000' }, { x: 'y'.repeat(3000) }]) {
      const bearer = await token({ role: 'authenticated', ...claims });
      const answer = await system.ask('stream_sessions?select=id', { as: bearer });
      assert.ok(answer.status < 500, answer.body);
      if (answer.status === 200) assert.equal(answer.body, '[]');
    }
  }));
});
