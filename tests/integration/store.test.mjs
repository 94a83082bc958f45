// What is stored, once and only once: checklist 30 to 36, 44; decisions 1 to 3 and 6.
import test, { after, before, beforeEach, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { startSystem, OTHER_OWNER, OTHER_SESSION, OWNER, SESSION } from './lib/system.mjs';
import { until } from './lib/wait.mjs';

const line = (message, more = {}) => ({
  message, username: 'store_user', streamSessionId: SESSION, platform: 'whatnot', ...more,
});
const count = async (system, table, where = 'true') =>
  (await system.db.query(`select count(*)::int as n from public.${table} where ${where}`)).rows[0].n;
const stats = async (system, session = SESSION) =>
  (await system.db.query(
    'select total_sales_caught as n, total_revenue_recovered as value from public.stream_sessions where id = $1',
    [session])).rows[0];

describe('messageId', () => {
  let system;
  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off' } });
  });
  after(() => system?.stop());
  beforeEach(async () => {
    await system.clean();
    system.model.buyer();
  });

  test('is the id of the message, the verdict and the sale', async () => {
    const messageId = randomUUID();
    assert.equal((await system.post(line('mine', { messageId }))).status, 200);
    assert.deepEqual((await system.db.query('select id from public.chat_messages')).rows, [{ id: messageId }]);
    assert.deepEqual((await system.db.query('select id from public.sales_captured')).rows, [{ id: messageId }]);
    const { rows: [verdict] } = await system.db.query('select * from public.message_analysis');
    assert.equal(verdict.message_id, messageId);
    assert.equal(verdict.is_buyer, true);
    assert.equal(verdict.captured, true);
    assert.equal(verdict.analyzer, 'gateway');
    assert.equal(verdict.item_description, 'red jacket');
    assert.equal(verdict.estimated_value, '45.50');
    assert.ok(verdict.model.length > 0);
  });

  test('the same delivery again: the same answer, one row, one sale, one AI call', async () => {
    const body = line('mine', { messageId: randomUUID() });
    const first = await system.post(body);
    system.model.notBuyer(); // a second opinion would show
    for (let i = 0; i < 5; i++) {
      const again = await system.post(body);
      assert.equal(again.status, 200);
      assert.equal(again.body, first.body);
    }
    assert.equal(system.model.requests.length, 1);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal(await count(system, 'sales_captured'), 1);
    assert.equal(await count(system, 'message_analysis'), 1);
    assert.deepEqual(await stats(system), { n: 1, value: '45.50' });
  });

  test('what the host or a moderator says is stored and not judged', async () => {
    for (const role of ['host', 'moderator']) {
      const { status, body } = await system.post(line('who wants it?', { role }));
      assert.equal(status, 200);
      assert.deepEqual(JSON.parse(body), { success: true, analyzed: false, message: 'Message stored (AI analysis skipped)' });
    }
    assert.equal(system.model.requests.length, 0);
    assert.equal(await count(system, 'chat_messages'), 2);
    assert.equal(await count(system, 'sales_captured'), 0);
    assert.equal((await system.post(line('mine', { role: 'viewer' }))).status, 200);
    assert.equal(await count(system, 'sales_captured'), 1);
  });

  test('survives a restart of the program', async () => {
    const body = line('mine', { messageId: randomUUID() });
    const first = await system.post(body);
    await system.program.restart();
    const again = await system.post(body);
    assert.equal(again.status, 200);
    assert.equal(again.body, first.body);
    assert.equal(system.model.requests.length, 1);
    assert.equal((await stats(system)).n, 1);
  });

  test('capitals name the same id', async () => {
    const messageId = randomUUID();
    const first = await system.post(line('mine', { messageId }));
    const again = await system.post(line('mine', { messageId: messageId.toUpperCase() }));
    assert.equal(again.status, 200);
    assert.equal(again.body, first.body);
    assert.equal(await count(system, 'chat_messages'), 1);
  });

  test('the same id with another text or session: 409 without a verdict, nothing changed', async () => {
    const messageId = randomUUID();
    assert.equal((await system.post(line('mine', { messageId }))).status, 200);
    for (const other of [line('yours', { messageId }), line('mine', { messageId, streamSessionId: OTHER_SESSION })]) {
      const answer = await system.post(other);
      assert.equal(answer.status, 409, answer.body);
      const body = JSON.parse(answer.body);
      assert.deepEqual(Object.keys(body), ['error', 'success']);
      assert.ok(!/buyer|confidence|captured/.test(answer.body));
    }
    assert.equal(system.model.requests.length, 1);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal((await system.db.query('select message from public.chat_messages')).rows[0].message, 'mine');
  });

  test('two contents racing for one id: one wins, the other gets 409', async () => {
    for (let round = 0; round < 5; round++) {
      await system.clean();
      const messageId = randomUUID();
      const answers = await Promise.all(
        ['left', 'right', 'left', 'right'].map((text) => system.post(line(text, { messageId }))));
      const { rows } = await system.db.query('select message from public.chat_messages');
      assert.equal(rows.length, 1);
      answers.forEach((answer, i) => {
        const won = ['left', 'right'][i % 2] === rows[0].message;
        assert.equal(answer.status, won ? 200 : 409, answer.body);
      });
      assert.equal(await count(system, 'sales_captured'), 1);
      assert.equal(system.model.requests.length, 1, 'one AI call');
    }
  });

  test('duplicates in flight: one row, one sale, one AI call, the same answer', async () => {
    system.model.buyer({ delayMs: 200 });
    const body = line('mine', { messageId: randomUUID() });
    const answers = await Promise.all(Array.from({ length: 8 }, () => system.post(body)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.body);
      assert.equal(answer.body, answers[0].body);
    }
    assert.equal(system.model.requests.length, 1);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal(await count(system, 'sales_captured'), 1);
    assert.equal((await stats(system)).n, 1);
  });

  test('that is no UUID: 400, nothing stored', async () => {
    for (const messageId of ['', 'x', 5, true, [], {}, '6f4b1a9e-5f1d-4c07-9d3f-0a4a9a2a3b1', ` ${randomUUID()}`]) {
      const answer = await system.post(line('mine', { messageId }));
      assert.equal(answer.status, 400, JSON.stringify(messageId));
      assert.equal(JSON.parse(answer.body).success, false);
    }
    assert.equal(system.model.requests.length, 0);
    assert.equal(await count(system, 'chat_messages'), 0);
  });

  test('null counts as absent', async () => {
    assert.equal((await system.post(line('mine', { messageId: null }))).status, 200);
    assert.equal((await system.post(line('mine', { messageId: null }))).status, 200);
    assert.equal(await count(system, 'chat_messages'), 2);
  });
});

describe('analysis that failed', () => {
  let system;
  before(async () => {
    system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off', AI_ON_ERROR: 'fail', AI_TIMEOUT_MS: '500' },
    });
  });
  after(() => system?.stop());
  beforeEach(() => system.clean());

  test('502: the message stays; the same messageId resumes at the analysis', async () => {
    const body = line('mine', { messageId: randomUUID() });
    system.model.reply({ status: 500, body: 'oops' });
    assert.equal((await system.post(body)).status, 502);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal(await count(system, 'message_analysis'), 0);
    assert.equal(await count(system, 'sales_captured'), 0);
    system.model.buyer();
    const again = await system.post(body);
    assert.equal(again.status, 200);
    assert.equal(JSON.parse(again.body).analysis.auto_captured, true);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal(await count(system, 'sales_captured'), 1);
    assert.equal((await stats(system)).n, 1);
  });

  test('504: a hanging model holds nobody beyond the deadline, and the resend resumes', async () => {
    const body = line('mine', { messageId: randomUUID() });
    system.model.hang();
    const late = await system.post(body);
    assert.equal(late.status, 504, late.body);
    assert.ok(late.ms < 2500, `${late.ms} ms`);
    assert.equal(await count(system, 'chat_messages'), 1);
    system.model.buyer();
    assert.equal((await system.post(body)).status, 200);
    assert.equal(await count(system, 'chat_messages'), 1);
    assert.equal(await count(system, 'sales_captured'), 1);
  });

  test('402 and 429 come through as themselves, 429 with Retry-After', async () => {
    system.model.reply({ status: 402, body: '{"type":"payment_required","message":"Not enough credits"}' });
    const paid = await system.post(line('a'));
    assert.equal(paid.status, 402);
    assert.equal(paid.body, '{"error":"AI analysis failed: 402","success":false}');
    system.model.reply({ status: 429, body: '{}', headers: { 'retry-after': '7' } });
    const busy = await system.post(line('b'));
    assert.equal(busy.status, 429);
    assert.equal(busy.body, '{"error":"AI analysis failed: 429","success":false}');
    assert.match(busy.headers['retry-after'], /^[1-9]\d*$/);
    assert.equal(await count(system, 'chat_messages'), 2);
  });
});

describe('bad neighbours', () => {
  let system;
  before(async () => {
    system = await startSystem({ env: { ANALYZER: 'local' } });
    await system.db.query(`
      create function public.test_poison() returns trigger language plpgsql as $$
      begin
        if new.message like 'poison%' then raise exception 'poisoned' using errcode = 'XX000'; end if;
        return new;
      end $$;
      create trigger test_poison before insert on public.chat_messages
        for each row execute function public.test_poison()`);
  });
  after(() => system?.stop());
  beforeEach(() => system.clean());

  test('unknown sessions, foreign rows and poison fail alone', async () => {
    const kinds = (n) => [
      ['good', 200, line(`good ${n}`, { messageId: randomUUID() })],
      ['unknown', 404, line(`unknown ${n}`, { streamSessionId: randomUUID() })],
      ['good', 200, line(`other ${n}`, { streamSessionId: OTHER_SESSION })],
      ['poison', 503, line(`poison ${n}`)],
    ][n % 4];
    const sent = Array.from({ length: 128 }, (_, n) => kinds(n));
    const answers = await Promise.all(sent.map(([, , body]) => system.post(body)));
    answers.forEach((answer, i) => {
      const [kind, status] = sent[i];
      assert.equal(answer.status, status, `${kind}: ${answer.body}`);
      if (status === 503) assert.match(answer.headers['retry-after'] ?? '', /^\d+$/);
    });
    assert.equal(await count(system, 'chat_messages'), 64);
    assert.equal(await count(system, 'chat_messages', "message like 'poison%' or message like 'unknown%'"), 0);
    assert.equal(await count(system, 'message_analysis'), 64);
  });

  test('one poisoned message among concurrent deliveries never doubles a neighbour', async () => {
    const texts = Array.from({ length: 60 }, (_, n) => (n % 10 === 3 ? `poison ${n}` : `neighbour ${n}`));
    await Promise.all(texts.map((text) => system.post(line(text))));
    const { rows } = await system.db.query(
      'select message, count(*)::int as n from public.chat_messages group by message');
    assert.equal(rows.length, 54);
    for (const row of rows) assert.equal(row.n, 1, row.message);
  });

  test('a sale that cannot be stored costs only itself', async () => {
    await system.db.query(`
      create function public.test_no_sale() returns trigger language plpgsql as $$
      begin
        if new.message_text like '%NOSALE%' then raise exception 'no' using errcode = '23503'; end if;
        return new;
      end $$;
      create trigger test_no_sale before insert on public.sales_captured
        for each row execute function public.test_no_sale()`);
    try {
      const buy = "I'll take it";
      const [probe] = await Promise.all([system.post(line(buy))]);
      assert.equal(JSON.parse(probe.body).analysis.auto_captured, true, 'the local model captures this line');
      const texts = Array.from({ length: 32 }, (_, n) => (n % 4 === 0 ? `${buy} NOSALE` : buy));
      const answers = await Promise.all(texts.map((text) => system.post(line(text))));
      let sales = 1;
      answers.forEach((answer, i) => {
        assert.equal(answer.status, 200, answer.body);
        const { is_buyer: buyer, auto_captured: captured, confidence } = JSON.parse(answer.body).analysis;
        if (texts[i].includes('NOSALE')) assert.equal(captured, false, 'nothing was stored');
        else assert.equal(captured, buyer && confidence >= 0.7);
        sales += captured;
      });
      assert.equal(await count(system, 'sales_captured'), sales);
      assert.equal(await count(system, 'message_analysis', 'captured'), sales);
      assert.equal(await count(system, 'chat_messages'), 33);
      assert.equal((await stats(system)).n, sales);
    } finally {
      await system.db.query('drop function public.test_no_sale() cascade');
    }
  });
});

describe('sales', () => {
  test('counters add up over concurrent sales of several sessions, owner of each sale is the session’s', async () => {
    const system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k' } });
    try {
      system.model.buyer(); // 45.50 each
      await Promise.all(Array.from({ length: 60 }, (_, n) =>
        system.post(line(`sale ${n}`, n % 3 === 0 ? { streamSessionId: OTHER_SESSION } : {}))));
      assert.deepEqual(await stats(system), { n: 40, value: '1820.00' });
      assert.deepEqual(await stats(system, OTHER_SESSION), { n: 20, value: '910.00' });
      const { rows } = await system.db.query(
        'select user_id, count(*)::int as n from public.sales_captured group by user_id order by user_id');
      assert.deepEqual(rows, [{ user_id: OWNER, n: 40 }, { user_id: OTHER_OWNER, n: 20 }]);
      assert.equal(system.model.requests.length, 60, 'exactly one AI call each');
      const { rows: [{ wrong }] } = await system.db.query(
        `select count(*)::int as wrong from public.sales_captured s
         left join public.chat_messages m on m.id = s.id and m.message = s.message_text where m.id is null`);
      assert.equal(wrong, 0);
    } finally {
      await system.stop();
    }
  });

  test('a whole show of sales may overflow the revenue column of a session: the messages are stored', async () => {
    const system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'k' } });
    try {
      await system.db.query(
        'update public.stream_sessions set total_revenue_recovered = 99999999 where id = $1', [SESSION]);
      system.model.buyer();
      const answer = await system.post(line('one too many'));
      assert.equal(answer.status, 200, answer.body);
      assert.equal(await count(system, 'chat_messages'), 1);
      const captured = JSON.parse(answer.body).analysis.auto_captured;
      assert.equal(await count(system, 'sales_captured'), captured ? 1 : 0, 'the answer says what is stored');
    } finally {
      await system.stop();
    }
  });

  test('CAPTURE_TYPES restricts capture to some types', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', CAPTURE_TYPES: 'direct_purchase,interest' },
    });
    try {
      for (const [type, captured] of [['direct_purchase', true], ['interest', true], ['product_question', false], ['pricing_question', false], ['general', false]]) {
        system.model.verdict({ is_buyer: true, confidence: 0.95, message_type: type });
        const { analysis } = JSON.parse((await system.post(line(`a ${type}`))).body);
        assert.equal(analysis.auto_captured, captured, type);
        assert.equal(analysis.is_buyer, true);
      }
      assert.equal(await count(system, 'sales_captured'), 2);
      assert.equal(await count(system, 'message_analysis'), 5, 'every verdict is kept');
    } finally {
      await system.stop();
    }
  });

  test('CONFIDENCE_THRESHOLD moves the line, and the line itself captures', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', CONFIDENCE_THRESHOLD: '0.9' },
    });
    try {
      for (const [confidence, captured] of [[0.89, false], [0.9, true], [0.95, true], [0.7, false]]) {
        system.model.verdict({ is_buyer: true, confidence, message_type: 'direct_purchase' });
        const { analysis } = JSON.parse((await system.post(line(`c ${confidence}`))).body);
        assert.equal(analysis.auto_captured, captured, `${confidence}`);
        assert.equal(analysis.confidence, confidence);
      }
    } finally {
      await system.stop();
    }
  });
});

describe('when the model server fails', () => {
  test('local: the embedded model answers, marked, and the verdict is looked at again later', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off', AI_ON_ERROR: 'local', AI_TIMEOUT_MS: '1000', REANALYZE_INTERVAL_MS: '200' },
    });
    try {
      system.model.reply({ status: 500, body: 'oops' });
      const missed = await system.post(line('lovely weather here today'));
      assert.equal(missed.status, 200, missed.body);
      assert.equal(JSON.parse(missed.body).analysis.auto_captured, false);
      const { rows: [before] } = await system.db.query('select * from public.message_analysis');
      assert.equal(before.analyzer, 'local-fallback');
      assert.equal(await count(system, 'sales_captured'), 0);
      // The server is back and thinks otherwise: a buyer found late becomes a sale.
      system.model.buyer();
      await until('the late verdict', async () => (await count(system, 'message_analysis', "analyzer = 'gateway'")) === 1);
      const { rows: [late] } = await system.db.query('select * from public.message_analysis');
      assert.equal(late.is_buyer, true);
      assert.equal(late.captured, true);
      assert.equal(await count(system, 'sales_captured'), 1);
      assert.deepEqual(await stats(system), { n: 1, value: '45.50' });
    } finally {
      await system.stop();
    }
  });

  test('a fallback sale that the server confirms later stays one sale', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off', AI_ON_ERROR: 'local', AI_TIMEOUT_MS: '1000', REANALYZE_INTERVAL_MS: '200' },
    });
    try {
      system.model.reply({ status: 500, body: 'oops' });
      const answer = await system.post(line("I'll take it"));
      assert.equal(JSON.parse(answer.body).analysis.auto_captured, true, answer.body);
      system.model.buyer();
      await until('the late verdict', async () => (await count(system, 'message_analysis', "analyzer = 'gateway'")) === 1);
      assert.equal(await count(system, 'sales_captured'), 1);
      assert.equal((await stats(system)).n, 1);
    } finally {
      await system.stop();
    }
  });

  test('store: the message is stored and the answer says that the analysis was skipped', async () => {
    const system = await startSystem({
      env: { ANALYZER: 'gateway', AI_API_KEY: 'k', AI_BREAKER: 'off', AI_ON_ERROR: 'store', AI_TIMEOUT_MS: '1000' },
    });
    try {
      system.model.reply({ status: 500, body: 'oops' });
      const answer = await system.post(line('mine'));
      assert.equal(answer.status, 200);
      assert.equal(answer.body, '{"success":true,"analyzed":false,"message":"Message stored (AI analysis skipped)"}');
      assert.equal(await count(system, 'chat_messages'), 1);
    } finally {
      await system.stop();
    }
  });

  test('the breaker opens on 401 and answers at once, by the policy', async () => {
    const system = await startSystem({ env: { ANALYZER: 'gateway', AI_API_KEY: 'wrong', AI_ON_ERROR: 'local' } });
    try {
      system.model.reply({ status: 401, body: '{}' });
      await until('the breaker to open', async () => {
        assert.equal((await system.post(line('hello'))).status, 200);
        return (await system.program.metric('mrs_ai_breaker_open')) === 1 ||
          /breaker_open|breaker_opened/.test(system.program.logs());
      });
      const calls = system.model.requests.length;
      for (let i = 0; i < 10; i++) {
        const answer = await system.post(line(`while open ${i}`));
        assert.equal(answer.status, 200);
        assert.equal(JSON.parse(answer.body).analyzed, true);
      }
      assert.equal(system.model.requests.length, calls, 'nobody was asked');
    } finally {
      await system.stop();
    }
  });
});

describe('group commit', () => {
  test('128 at once share transactions: at most a fifth as many as messages', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off' } });
    try {
      // A commit that takes 20 ms, as on a slow disk, whatever this machine is.
      await system.db.query(`
        create function public.test_slow() returns trigger language plpgsql as
          $$ begin perform pg_sleep(0.02); return null; end $$;
        create trigger test_slow after insert on public.chat_messages
          for each statement execute function public.test_slow()`);
      const total = 1280;
      let next = 0;
      await Promise.all(Array.from({ length: 128 }, async () => {
        while (next < total) assert.equal((await system.post(line(`group ${next++}`))).status, 200);
      }));
      assert.equal(await count(system, 'chat_messages'), total);
      const { rows: [{ n }] } = await system.db.query(
        'select count(distinct xmin::text)::int as n from public.chat_messages');
      // Quiet machines need a fortieth; the rest is for a client that gets no processor.
      assert.ok(n <= total / 5, `${total} messages in ${n} transactions`);
    } finally {
      await system.stop();
    }
  });

  test('a single caller does not wait for others', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off' } });
    try {
      for (let n = 0; n < 10; n++) assert.equal((await system.post(line(`warm ${n}`))).status, 200);
      const times = [];
      for (let n = 0; n < 50; n++) times.push((await system.post(line(`alone ${n}`))).ms);
      times.sort((a, b) => a - b);
      const { rows: [{ n }] } = await system.db.query(
        'select count(distinct xmin::text)::int as n from public.chat_messages');
      assert.equal(n, 60, 'one commit each');
      assert.ok(times[25] < 50, `half of them took over ${times[25]} ms`);
    } finally {
      await system.stop();
    }
  });

  // The planner would scan a table of one page for each message, and keep that plan for as long as the
  // connection lives.
  test('looks sessions up by index, however few there are', async () => {
    const system = await startSystem({ env: { ANALYZER: 'off' } });
    const scans = async () => (await system.db.query(
      `select seq_scan::int as whole, idx_scan::int as by_index from pg_stat_user_tables
       where relid = 'public.stream_sessions'::regclass`)).rows[0];
    try {
      await system.db.query('vacuum analyze public.stream_sessions');
      await system.db.query('select pg_stat_force_next_flush()');
      const before = await scans();
      for (let n = 0; n < 20; n++) assert.equal((await system.post(line(`scan ${n}`))).status, 200);
      await system.program.stop(); // a connection reports its counts when it ends
      const after = await until('the scans to be counted', async () => {
        const now = await scans();
        return now.whole + now.by_index >= before.whole + before.by_index + 20 && now;
      });
      assert.equal(after.whole, before.whole);
    } finally {
      await system.stop();
    }
  });
});
