// user_settings.ignored_phrases: such lines are stored and judged, and never become a sale.
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { OTHER_OWNER, OTHER_SESSION, OWNER, SESSION, startSystem } from './lib/system.mjs';
import { until } from './lib/wait.mjs';

let system;
const post = async (message, more = {}) => {
  const { status, body } = await system.post({ message, username: 'kat', streamSessionId: SESSION, platform: 'whatnot', ...more });
  assert.equal(status, 200, body);
  return JSON.parse(body).analysis;
};
const ignore = (value, owner = OWNER) =>
  system.db.query('update public.user_settings set ignored_phrases = $1 where user_id = $2', [value, owner]);
const captured = async (message, more) => (await post(message, more)).auto_captured;
// A change takes effect within seconds: until then the old answer is right, too.
const untilCaptured = (message, want, more) =>
  until(`captured: ${want}`, async () => (await captured(message, more)) === want, { timeoutMs: 5000, everyMs: 100 });

for (const analyzer of ['local', 'gateway']) {
  describe(`ignored phrases, ANALYZER=${analyzer}`, () => {
    before(async () => {
      system = await startSystem({ env: { ANALYZER: analyzer, AI_API_KEY: 'k', REANALYZE_INTERVAL_MS: '300' } });
      system.model.verdict({ is_buyer: true, confidence: 0.95, message_type: 'direct_purchase' });
    });
    after(() => system?.stop());
    beforeEach(() => system.clean());

    test('a line with the phrase is stored and judged, not captured; others are', async () => {
      await ignore('["Big Kitty", "puppy"]');
      await untilCaptured("i'll take it! puppy", false);
      await system.clean();
      for (const [message, want] of [
        ["I'll take it! PUPPY!!", false],
        ["i'll take it, bíg  kittyyyy", false],
        ["i'll take it", true],
        ["i'll take it! puppyland", true],
      ]) {
        const analysis = await post(message);
        assert.equal(analysis.is_buyer, true, message);
        assert.equal(analysis.auto_captured, want, message);
      }
      const { rows: [row] } = await system.db.query(`select
        (select count(*)::int from public.chat_messages) as messages,
        (select count(*)::int from public.message_analysis where is_buyer) as buyers,
        (select count(*)::int from public.message_analysis where captured) as captured,
        (select count(*)::int from public.sales_captured) as sales,
        (select total_sales_caught from public.stream_sessions where id = $1) as counted`, [SESSION]);
      assert.deepEqual(row, { messages: 4, buyers: 4, captured: 2, sales: 2, counted: 2 });
      assert.ok(await system.program.metric('dealflow_captures_ignored_total') >= 2);
    });

    if (analyzer === 'local') test("another owner's phrases are the other's", async () => {
      await ignore('["sold"]');
      await ignore('[]', OTHER_OWNER);
      await untilCaptured("i'll take it, sold!", false);
      assert.equal(await captured("i'll take it, sold!", { streamSessionId: OTHER_SESSION }), true);
    });

    test('a change counts within seconds, both ways', async () => {
      await ignore('["sold"]');
      await untilCaptured("i'll take it, sold!", false);
      await ignore('[]');
      await untilCaptured("i'll take it, sold!", true);
    });

    if (analyzer === 'local') test('shapes that nobody meant harm nobody', async () => {
      for (const value of ['null', '{}', '{"sold":true}', '7', 'true', '[null, 3, {"a":"sold"}, ["sold"], "", "   "]',
        JSON.stringify(Array.from({ length: 5000 }, (_, i) => `${i}${'x'.repeat(40)}`)), null]) {
        await ignore(value);
        await untilCaptured("i'll take it, sold!", true);
      }
      await ignore('[null, 3, "sold"]');
      await untilCaptured("i'll take it, sold!", false);
      await ignore('"sold"');
      await untilCaptured("i'll take it, sold!", false);
      await system.db.query('delete from public.user_settings where user_id = $1', [OWNER]);
      await untilCaptured("i'll take it, sold!", true);
      await system.db.query('insert into public.user_settings (user_id) values ($1)', [OWNER]);
    });

    if (analyzer === 'local') {
      test('many messages cost one look at the settings', async () => {
        // Its own looks at the settings are counted as well.
        await system.db.query('alter table public.sales_captured disable trigger dealflow_webhooks');
        await ignore('["puppy"]');
        await untilCaptured("i'll take it! puppy", false);
        const calls = async () => {
          await system.db.query('select pg_stat_force_next_flush()');
          return Number((await system.db.query("select idx_scan from pg_stat_user_tables where relname = 'user_settings'")).rows[0].idx_scan);
        };
        const before = await calls();
        const began = Date.now();
        for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 10 }, () => captured("i'll take it")));
        // Statistics of the program's connection come up to a second late.
        const seconds = (Date.now() - began) / 1000 + 2;
        const looks = (await calls()) - before;
        await system.db.query('alter table public.sales_captured enable trigger dealflow_webhooks');
        assert.ok(looks <= 3 * (seconds / 2 + 2), `${looks} looks in ${seconds} s for 200 messages`);
      });
    } else {
      test('a fallback verdict that is judged again is spared, too', async () => {
        await ignore('["puppy"]');
        await untilCaptured("i'll take it! puppy", false);
        await system.clean();
        await system.db.query(`
          with m as (insert into public.chat_messages (stream_session_id, username, message)
            values ($1, 'kat', 'sold puppy'), ($1, 'kat', 'sold to me') returning id)
          insert into public.message_analysis (message_id, is_buyer, confidence, message_type, analyzer)
          select id, false, 0.1, 'general', 'local-fallback' from m`, [SESSION]);
        await until('both to be judged again', async () =>
          (await system.db.query("select from public.message_analysis where analyzer = 'gateway'")).rows.length === 2);
        assert.deepEqual((await system.db.query('select message_text from public.sales_captured')).rows,
          [{ message_text: 'sold to me' }]);
      });
    }
  });
}
