// Re-analysis of a session: what it changes, what it leaves, workers that share, die, and resume.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { startPostgres } from './lib/postgres.mjs';
import { OTHER_SESSION, OWNER, SESSION, startSystem } from './lib/system.mjs';
import { runAnalyze, startAnalyze } from './lib/analyze.mjs';
import { sleep, until } from './lib/wait.mjs';

const NOBODY = '00000000-0000-4000-8000-000000000000';
let system;
const env = (more = {}) => ({
  DATABASE_URL: system.settings.DATABASE_URL, AI_BASE_URL: system.settings.AI_BASE_URL,
  AI_API_KEY: 'k', AI_BREAKER: 'off', ...more,
});
const analyze = (args, more) => runAnalyze(['--session', SESSION, ...args], '', env(more));
const rows = async (sql, values) => (await system.db.query(sql, values)).rows;
const one = async (sql, values) => (await rows(sql, values))[0];
const number = (stdout, name) => Number(stdout.match(new RegExp(`${name} +(\\d+)`))?.[1]);

// Messages as they were stored, without verdicts; buyers say "i'll take it".
async function addMessages(count, everyNth, session = SESSION) {
  await system.db.query(`
    insert into public.chat_messages (stream_session_id, username, message, created_at)
    select $1, 'viewer' || n, case when n % $3 = 0 then 'i''ll take it, sold!' else 'good morning all' end,
      now() + n * interval '1 ms'
    from generate_series(1, $2) n`, [session, count, everyNth]);
}
async function addVerdict(where, verdict) {
  await system.db.query(`
    insert into public.message_analysis (message_id, is_buyer, confidence, message_type, analyzer, captured)
    select id, $1, $2, $3, $4, $5 from public.chat_messages where ${where}`,
  [verdict.is_buyer, verdict.confidence, verdict.message_type, verdict.analyzer ?? 'local', verdict.captured ?? false]);
}
async function addSale(where) {
  await system.db.query(`
    insert into public.sales_captured (id, user_id, stream_session_id, platform, buyer_username, message_text)
    select id, '${OWNER}', stream_session_id, platform, username, message from public.chat_messages where ${where}`);
}
// Everything a run may touch, to compare before and after.
const everything = () => one(`select
  (select json_agg(a order by message_id) from public.message_analysis a) as verdicts,
  (select json_agg(s order by id) from public.sales_captured s) as sales,
  (select json_agg(t order by id) from public.stream_sessions t) as sessions,
  (select count(*) from dealflow.reanalysis_runs) as runs`);
// One sale for each buyer, counted once, and every line has one verdict.
async function assertConsistent(messages, sales) {
  assert.deepEqual(await one(`select
    (select count(*)::int from public.message_analysis) as verdicts,
    (select count(*)::int from public.message_analysis where captured) as captured,
    (select count(*)::int from public.sales_captured) as sales,
    (select total_sales_caught from public.stream_sessions where id = '${SESSION}') as counted,
    (select count(*)::int from dealflow.reanalysis_parts where done_at is null) as open,
    (select sum(new_sales)::int from dealflow.reanalysis_parts) as new_sales,
    (select count(*)::int from dealflow.reanalysis_runs where finished_at is null) as runs`),
  { verdicts: messages, captured: sales, sales, counted: sales, open: 0, new_sales: sales, runs: 0 });
}
// The model server judges by the words, as the embedded model would.
function answerByWords(more = {}) {
  const asked = [];
  system.model.reply((request) => {
    const text = JSON.stringify(request.json?.messages?.at(-1) ?? '');
    asked.push(text);
    const is_buyer = text.includes('sold!');
    return {
      ...more,
      body: JSON.stringify({
        choices: [{ message: { tool_calls: [{ function: { name: 'detect_purchase', arguments: JSON.stringify({
          is_buyer, confidence: is_buyer ? 0.9 : 0.1, item_description: '', estimated_value: 10,
          message_type: is_buyer ? 'direct_purchase' : 'general',
        }) } }] } }],
      }),
    };
  });
  return asked;
}

describe('judging a session again', () => {
  before(async () => { system = await startSystem({ begin: false }); });
  after(() => system?.stop({ unclean: true }));
  beforeEach(async () => {
    await system.clean();
    await system.db.query(`truncate dealflow.reanalysis_runs cascade;
      update public.user_settings set ignored_phrases = '[]'`);
  });

  test('judges lines without a verdict and adds their sales, once', async () => {
    await addMessages(100, 10);
    await addMessages(5, 1, OTHER_SESSION);
    const { code, stdout, stderr } = await analyze(['--analyzer', 'local']);
    assert.equal(code, 0, stderr);
    assert.equal(number(stdout, 'lines'), 100);
    assert.equal(number(stdout, 'new sales'), 10);
    assert.equal(number(stdout, 'kept sales'), 0);
    await assertConsistent(100, 10);
    const again = await analyze(['--analyzer', 'local']);
    assert.equal(number(again.stdout, 'new sales'), 0);
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 10);
    assert.equal((await one(`select total_sales_caught as n from public.stream_sessions where id = '${SESSION}'`)).n, 10);
  });

  test('a lower threshold finds buyers, a higher one keeps the sales and reports them', async () => {
    await addMessages(20, 2);
    await addSale("message like 'i''ll%'");
    await addVerdict("message like 'i''ll%'", { is_buyer: true, confidence: 0.9, message_type: 'direct_purchase', captured: true });
    const { code, stdout } = await analyze(['--analyzer', 'local', '--threshold', '1']);
    assert.equal(code, 0);
    assert.equal(number(stdout, 'kept sales'), 10);
    assert.equal([...stdout.matchAll(/^ {2}kept {2}[0-9a-f-]{36} {2}0\.\d\d {2}viewer\d+: i'll take it/gm)].length, 10);
    assert.deepEqual(await one(`select count(*)::int as sales, (select count(*)::int from public.message_analysis where captured) as captured
      from public.sales_captured`), { sales: 10, captured: 10 });
  });

  test('a sale that its owner deleted does not come back', async () => {
    await addMessages(10, 1);
    assert.equal((await analyze(['--analyzer', 'local'])).code, 0);
    await system.db.query('delete from public.sales_captured where id in (select id from public.sales_captured limit 4)');
    assert.equal((await analyze(['--analyzer', 'local'])).code, 0);
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 6);
  });

  test('a fallback verdict is replaced, a foreign platform is judged but not sold', async () => {
    await addMessages(4, 2);
    await system.db.query("update public.chat_messages set platform = 'twitch' where username = 'viewer2'");
    await addVerdict('true', { is_buyer: false, confidence: 0, message_type: 'general', analyzer: 'local-fallback' });
    assert.equal((await analyze(['--analyzer', 'local'])).code, 0);
    assert.deepEqual(await rows(`select analyzer, is_buyer, captured, count(*)::int as n from public.message_analysis
      group by 1, 2, 3 order by 2, 3`), [
      { analyzer: 'local', is_buyer: false, captured: false, n: 2 },
      { analyzer: 'local', is_buyer: true, captured: false, n: 1 },
      { analyzer: 'local', is_buyer: true, captured: true, n: 1 },
    ]);
  });

  test("the owner's ignored phrases hold here too", async () => {
    await addMessages(10, 1);
    await system.db.query(`update public.user_settings set ignored_phrases = '["SOLD"]' where user_id = '${OWNER}'`);
    const { stdout } = await analyze(['--analyzer', 'local']);
    assert.equal(number(stdout, 'buyers'), 10);
    assert.equal(number(stdout, 'new sales'), 0);
  });

  test('--dry-run tells what would change, by threshold, and changes nothing', async () => {
    await addMessages(50, 5);
    await addSale("username = 'viewer1'");
    await addVerdict("username in ('viewer1', 'viewer2')", { is_buyer: true, confidence: 0.8, message_type: 'interest', captured: true });
    const before = await everything();
    const { code, stdout, stderr } = await analyze(['--analyzer', 'local', '--dry-run', '--threshold', '0.75']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(await everything(), before);
    assert.equal([...stdout.matchAll(/^ {2}\+ /gm)].length, 10);
    assert.match(stdout, /^ {2}- 0\.\d\d {2}viewer1: good morning all$/m);
    assert.match(stdout, /nothing was changed: 50 lines judged, 0 unanswered, 1 sales today/);
    assert.match(stdout, /^ {2}\* 0\.75 +10 +10 +1$/m);
    for (const threshold of ['0.50', '0.60', '0.70', '0.80', '0.90']) {
      assert.match(stdout, new RegExp(`^    ${threshold} +\\d+ +\\d+ +\\d+$`, 'm'));
    }
    await analyze(['--analyzer', 'local', '--threshold', '0.75']); // and what it said comes true
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 11);
  });

  test('the model server judges when it is asked to, and what it cannot answer keeps its verdict', async () => {
    await addMessages(30, 3);
    await addVerdict("username = 'viewer3'", { is_buyer: false, confidence: 0.1, message_type: 'general' });
    const asked = answerByWords();
    assert.equal((await analyze(['--analyzer', 'gateway', '--part-lines', '10'])).code, 0);
    assert.equal(asked.length, 30);
    await assertConsistent(30, 10);
    assert.deepEqual(await rows('select analyzer, count(*)::int as n from public.message_analysis group by 1'),
      [{ analyzer: 'gateway', n: 30 }]);
    assert.equal((await one(`select total_revenue_recovered as v from public.stream_sessions where id = '${SESSION}'`)).v, '100.00');
  });

  test('hybrid asks only where the embedded model is unsure', async () => {
    await addMessages(20, 2);
    const asked = answerByWords();
    const sure = { HYBRID_LOW: '0.5', HYBRID_HIGH: '0.5' };
    assert.equal((await analyze(['--analyzer', 'hybrid'], sure)).code, 0);
    assert.equal(asked.length, 0);
    assert.deepEqual(await rows('select distinct analyzer from public.message_analysis'), [{ analyzer: 'local' }]);
    const { stdout } = await analyze(['--analyzer', 'hybrid', '--dry-run'], { HYBRID_LOW: '0.5', HYBRID_HIGH: '1' });
    assert.equal(asked.length, 10); // the buyers
    assert.match(stdout, /20 lines judged/);
  });

  test('a model server that fails stops the work, and the same command goes on', async () => {
    await addMessages(30, 3);
    system.model.reply({ status: 401, body: '{}' });
    const failed = await analyze(['--analyzer', 'gateway', '--part-lines', '10']);
    assert.equal(failed.code, 69);
    assert.match(failed.stderr, /AI analysis failed: 401\n.*run the same command to go on/);
    assert.equal((await one('select count(*)::int as n from public.message_analysis')).n, 0);
    answerByWords();
    assert.equal((await analyze(['--analyzer', 'gateway', '--part-lines', '10'])).code, 0);
    await assertConsistent(30, 10);
  });

  test('two workers share the parts; one is killed, the other finishes, nothing is done twice', async () => {
    await addMessages(240, 4);
    const asked = answerByWords({ delayMs: 60 });
    const args = ['--session', SESSION, '--analyzer', 'gateway', '--part-lines', '10'];
    const workers = [startAnalyze(args, env({ AI_MAX_IN_FLIGHT: '4' })), startAnalyze(args, env({ AI_MAX_IN_FLIGHT: '4' }))];
    const done = async () => (await one('select count(*)::int as n from dealflow.reanalysis_parts where done_at is not null')).n;
    const claims = () => rows(`select pid, count(*)::int as n from pg_stat_activity
      where application_name = 'dealflow-analyze' and xact_start is not null group by 1`);
    await until('both to be at work', async () => (await claims()).length === 2);
    await until('some parts to be done', async () => (await done()) >= 4);
    workers[0].signalNow('SIGKILL');
    await workers[0].ended;
    await workers[1].ended;
    assert.equal(workers[1].code, 0, workers[1].text);
    await assertConsistent(240, 60);
    assert.ok(asked.length >= 240 && asked.length <= 250, `${asked.length} questions: one part at most was asked about twice`);
  });

  test('everybody killed, then resumed: the parts that were done stay done', async () => {
    await addMessages(120, 4);
    const asked = answerByWords({ delayMs: 40 });
    const args = ['--session', SESSION, '--analyzer', 'gateway', '--part-lines', '10'];
    let rounds = 0;
    for (; rounds < 3; rounds++) {
      const before = await one('select count(*)::int as n from dealflow.reanalysis_parts where done_at is not null');
      const worker = startAnalyze(args, env({ AI_MAX_IN_FLIGHT: '2' }));
      await until('a part more', async () =>
        (await one('select count(*)::int as n from dealflow.reanalysis_parts where done_at is not null')).n > before.n);
      worker.signalNow('SIGKILL');
      await worker.ended;
    }
    const last = await runAnalyze(args, '', env());
    assert.equal(last.code, 0, last.stderr);
    assert.equal(number(last.stdout, 'judged'), 120); // the whole run, not only its last worker
    await assertConsistent(120, 30);
    assert.ok(asked.length < 120 + 11 * rounds, `${asked.length}`);
  });

  test('another choice while a run is open is refused; --restart begins anew', async () => {
    await addMessages(60, 4);
    answerByWords({ delayMs: 40 });
    const worker = startAnalyze(['--session', SESSION, '--analyzer', 'gateway', '--part-lines', '5'], env({ AI_MAX_IN_FLIGHT: '1' }));
    await until('a run', async () => (await rows('select from dealflow.reanalysis_runs')).length === 1);
    const other = await analyze(['--analyzer', 'local', '--threshold', '0.5']);
    assert.equal(other.code, 75);
    assert.match(other.stderr, /judged with other settings \(analyzer gateway, threshold 0\.70\).*--restart/);
    const anew = await analyze(['--analyzer', 'local', '--restart']);
    assert.equal(anew.code, 0, anew.stderr);
    await worker.ended;
    assert.equal(worker.code, 75);
    assert.match(worker.text, /somebody began this session anew/);
    assert.equal((await one('select count(*)::int as n from public.sales_captured')).n, 15);
  });

  test('no such session, an empty one, a missing database', async () => {
    const nobody = await runAnalyze(['--session', NOBODY, '--analyzer', 'local'], '', env());
    assert.equal(nobody.code, 66);
    assert.match(nobody.stderr, /no such session/);
    assert.equal((await runAnalyze(['--session', NOBODY, '--analyzer', 'local', '--dry-run'], '', env())).code, 66);
    const empty = await analyze(['--analyzer', 'local']);
    assert.equal(empty.code, 0);
    assert.equal(number(empty.stdout, 'lines'), 0);
    const away = await analyze(['--analyzer', 'local'], { DATABASE_URL: 'postgres://127.0.0.1:1/none' });
    assert.equal(away.code, 69);
    const unset = await runAnalyze(['--session', SESSION], '', {});
    assert.equal(unset.code, 78);
    assert.match(unset.stderr, /DATABASE_URL is required/);
  });

  test('a line that the database refuses stops nobody', async () => {
    await addMessages(20, 1);
    await system.db.query(`alter table public.sales_captured add constraint no_seven check (buyer_username <> 'viewer7')`);
    try {
      const { code, stdout, stderr } = await analyze(['--analyzer', 'local', '--part-lines', '5']);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /a line was refused/);
      assert.equal(number(stdout, 'new sales'), 19);
      assert.equal(number(stdout, 'unanswered'), 1);
    } finally {
      await system.db.query('alter table public.sales_captured drop constraint no_seven');
    }
  });

  test('lines come in plain steps without a terminal, in a bar with one', async () => {
    await addMessages(4000, 4);
    const { stderr } = await analyze(['--analyzer', 'local', '--part-lines', '100']);
    assert.equal(stderr.includes('\r'), false);
    assert.match(stderr, /4000 of 4000 lines, 1000 new sales\n$/);
    await assertConsistent(4000, 1000);
  });
});

test('Postgres goes away in the middle: the worker waits and loses nothing', async () => {
  system = await startSystem({ begin: false, postgres: await startPostgres() });
  try {
    await addMessages(200, 4);
    answerByWords({ delayMs: 30 });
    const worker = startAnalyze(['--session', SESSION, '--analyzer', 'gateway', '--part-lines', '10'],
      env({ AI_MAX_IN_FLIGHT: '4' }));
    await until('some parts to be done', async () =>
      (await one('select count(*)::int as n from dealflow.reanalysis_parts where done_at is not null')).n >= 3);
    await system.postgres.kill9();
    await sleep(300);
    assert.equal(worker.running, true, worker.text);
    await system.postgres.start();
    await system.reconnect();
    await worker.ended;
    assert.equal(worker.code, 0, worker.text);
    await assertConsistent(200, 50);
  } finally {
    await system.stop({ unclean: true });
  }
});
