// sql/: migrations on every server version and on an old Supabase database, rights, the change log
// and its notifications.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { migrate, newerBinDir, newerVersions, psql, startPostgres } from './lib/postgres.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const migrations = fs.readdirSync(path.join(here, '../../sql/migrations'));
const userA = '00000000-0000-4000-8000-00000000000a';
const userB = '00000000-0000-4000-8000-00000000000b';
const sessionA = '00000000-0000-4000-8000-0000000000a1';

async function connect(url) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return client;
}

// One statement as a caller of the API would run it; its effects are rolled back.
async function as(client, role, user, sql, params = []) {
    await client.query('begin');
    try {
        const claims = JSON.stringify(user ? { sub: user, role } : { role });
        await client.query(`select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`,
            [role, claims]);
        return await client.query(sql, params);
    } finally {
        await client.query('rollback');
    }
}

async function refused(client, role, user, sql) {
    await assert.rejects(as(client, role, user, sql), { code: '42501' }, `${role}: ${sql}`);
}

// What a listener hears. Postgres delivers in commit order, so a marker sent last, by itself,
// arrives after everything that was committed before.
async function listen(url) {
    const client = await connect(url);
    let heard = [];
    let onMarker;
    client.on('notification', ({ channel, payload }) => {
        if (channel === 'dealflow') heard.push(payload);
        else onMarker(payload);
    });
    await client.query('listen dealflow');
    await client.query('listen marker');
    return {
        async take() {
            const marker = new Promise((resolve) => { onMarker = resolve; });
            await client.query('notify marker');
            await marker;
            const taken = heard;
            heard = [];
            return taken;
        },
        end: () => client.end(),
    };
}

async function migrated(url) {
    const done = await migrate(url);
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stderr, '');
    return done.stdout;
}

// Two sellers with a session each, made the way accounts are made.
async function addSellers(client) {
    await client.query(`insert into auth.users (id, email) values ($1, 'a@example.com'), ($2, 'b@example.com')`,
        [userA, userB]);
    await client.query(`insert into public.stream_sessions (id, user_id, platform) values ($1, $2, 'whatnot')`,
        [sessionA, userA]);
    const { rows } = await client.query(
        `insert into public.stream_sessions (user_id, platform) values ($1, 'tiktok') returning id`, [userB]);
    return rows[0].id;
}

const insertMessages = `insert into public.chat_messages (stream_session_id, username, message)
    select $1, 'viewer', 'line ' || n from generate_series(1, $2) n returning id`;

describe('sql', () => {
    let server, client, listener, sessionB;

    before(async () => {
        server = await startPostgres();
        const out = await migrated(server.superUrl);
        assert.match(out, /applied 0001_migration_record\.sql/);
        assert.match(out, new RegExp(`done: ${migrations.length} migrations applied`));
        client = await connect(server.superUrl);
        sessionB = await addSellers(client);
        listener = await listen(server.superUrl);
    });
    after(async () => {
        await listener?.end();
        await client?.end();
        await server?.remove();
    });

    describe('migrate', () => {
        test('a second run does nothing and says so', async () => {
            assert.equal(await migrated(server.superUrl), 'nothing to do: the database is up to date\n');
        });

        test('each file may be applied twice', async () => {
            const read = (file) => fs.readFileSync(path.join(here, '../../sql/migrations', file), 'utf8');
            await psql(server.superUrl, migrations.map(read).join('\n'));
        });

        test('the record holds the checksum that sha256sum prints', async () => {
            const { rows } = await client.query('select name, sha256 from dealflow.schema_migrations order by name');
            assert.deepEqual(rows.map((r) => r.name), migrations);
            const sum = execFileSync('sha256sum', [path.join(here, '../../sql/migrations', rows[4].name)], { encoding: 'utf8' });
            assert.equal(rows[4].sha256, sum.split(' ')[0]);
        });

        test('two at once apply each file once', async () => {
            await client.query('create database two_at_once');
            const url = server.url('postgres', 'two_at_once');
            const runs = await Promise.all([migrate(url), migrate(url)]);
            assert.deepEqual(runs.map((r) => r.code), [0, 0], runs.map((r) => r.stderr).join());
            const applied = runs.flatMap((r) => r.stdout.match(/^applied .*/gm) ?? []);
            assert.deepEqual(applied.sort(), migrations.map((m) => `applied ${m}`));
        });

        test('--status shows what is missing and changes nothing', async () => {
            await client.query('create database empty');
            const url = server.url('postgres', 'empty');
            const { code, stdout } = await migrate(url, '--status');
            assert.equal(code, 0);
            assert.match(stdout, /^missing +0001_migration_record\.sql$/m);
            assert.match(stdout, new RegExp(`^${migrations.length} missing$`, 'm'));
            assert.equal(await psql(url, `select to_regnamespace('dealflow') is null`), 't');
            const full = await migrate(server.superUrl, '--status');
            assert.match(full.stdout, /^applied \d{4}-\d\d-\d\d .* 0001_migration_record\.sql$/m);
            assert.match(full.stdout, /^0 missing$/m);
        });

        test('a file that fails leaves nothing behind, and the next run goes on there', async () => {
            await client.query('create database stopped');
            const url = server.url('postgres', 'stopped');
            await psql(url, 'create view public.profiles as select 1 as id'); // in the way of 0005
            const failed = await migrate(url);
            assert.equal(failed.code, 1);
            assert.match(failed.stdout, /applied 0004_realtime\.sql\n$/);
            assert.match(failed.stderr, /0005_tables\.sql:\d+: ERROR/);
            assert.match(failed.stderr, /run sql\/migrate again/);
            await psql(url, 'drop view public.profiles');
            assert.match(await migrated(url), /^applied 0005_tables\.sql\n/);
        });

        test('a changed file and a record of a newer version are told', async () => {
            await client.query('create database changed template two_at_once');
            const url = server.url('postgres', 'changed');
            await psql(url, `update dealflow.schema_migrations set sha256 = 'x' where name like '0003%';
                             insert into dealflow.schema_migrations (name, sha256) values ('9999_future.sql', 'y')`);
            const { code, stderr } = await migrate(url);
            assert.equal(code, 0);
            assert.match(stderr, /0003_auth\.sql was changed after it had been applied/);
            assert.match(stderr, /9999_future\.sql/);
        });

        test('a changed file of functions is applied anew', async () => {
            await client.query('create database functions template two_at_once');
            const url = server.url('postgres', 'functions');
            await psql(url, `update dealflow.schema_migrations set sha256 = 'x' where name = '0020_realtime_catch_up.sql';
                             drop function dealflow.realtime_made;
                             create function dealflow.realtime_missed(text, text, text[], uuid, pg_snapshot, xid8, bigint,
                                 integer, pg_snapshot, pg_snapshot, bigint, bigint, integer) returns int return 1`);
            const { code, stdout, stderr } = await migrate(url);
            assert.equal(code, 0, stderr);
            assert.equal(stdout, 'applied 0020_realtime_catch_up.sql\ndone: 1 migration applied\n');
            assert.equal(stderr, '');
            assert.equal(await psql(url, `select count(*) from pg_proc where proname in ('realtime_made', 'realtime_missed')`), '2');
            assert.equal(await migrated(url), 'nothing to do: the database is up to date\n');
        });

        test('wrong usage ends with 64, a server out of reach with 1', async () => {
            assert.equal((await migrate('')).code, 64);
            assert.equal((await migrate(server.superUrl, '--nonsense')).code, 64);
            const gone = await migrate('postgresql://postgres@127.0.0.1:1/postgres');
            assert.equal(gone.code, 1);
            assert.match(gone.stderr, /cannot connect/);
        });

        test('every table, function and schema of ours is commented', async () => {
            const { rows } = await client.query(`
                select c.oid::regclass::text as name from pg_class c
                where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'dealflow'::regnamespace,
                    'auth'::regnamespace, 'realtime'::regnamespace) and obj_description(c.oid, 'pg_class') is null
                union all
                select p.oid::regprocedure::text from pg_proc p
                where p.pronamespace in ('public'::regnamespace, 'dealflow'::regnamespace,
                    'auth'::regnamespace, 'realtime'::regnamespace) and obj_description(p.oid, 'pg_proc') is null`);
            assert.deepEqual(rows, []);
        });

        test('the publication holds the three tables', async () => {
            const { rows } = await client.query(
                `select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1`);
            assert.deepEqual(rows.map((r) => r.tablename), ['chat_messages', 'sales_captured', 'stream_sessions']);
        });
    });

    describe('rights', () => {
        const tables = ['profiles', 'user_settings', 'stream_sessions', 'chat_messages', 'sales_captured',
            'message_analysis'];
        let message;

        before(async () => {
            message = (await client.query(insertMessages, [sessionA, 1])).rows[0].id;
            await client.query(`insert into public.message_analysis (message_id, is_buyer, confidence, message_type, analyzer)
                values ($1, true, 0.9, 'direct_purchase', 'local')`, [message]);
            await client.query(`insert into public.sales_captured (id, user_id, stream_session_id, platform, buyer_username, message_text)
                values ($1, $2, $3, 'whatnot', 'viewer', 'line 1')`, [message, userA, sessionA]);
            // B owns a session only, so every other row of these tables is A's
            await client.query(`delete from public.user_settings where user_id = $1`, [userB]);
        });

        for (const table of tables) {
            test(`${table}: the owner sees the row, another user does not, anon may not even look`, async () => {
                const count = `select count(*)::int as n from public.${table}`;
                const own = table === 'profiles' || table === 'stream_sessions' ? 1 : 0; // B's own
                assert.equal((await as(client, 'authenticated', userA, count)).rows[0].n, 1);
                assert.equal((await as(client, 'authenticated', userB, count)).rows[0].n, own);
                assert.equal((await as(client, 'authenticated', randomUUID(), count)).rows[0].n, 0);
                assert.equal((await as(client, 'authenticated', null, count)).rows[0].n, 0);
                assert.equal((await as(client, 'service_role', null, count)).rows[0].n, 1 + own);
                await refused(client, 'anon', null, count);
            });

            test(`${table}: nobody but the service truncates, and nobody lacks row security`, async () => {
                await refused(client, 'authenticated', userA, `truncate public.${table}`);
                await refused(client, 'anon', null, `truncate public.${table}`);
                const { rows } = await client.query('select relrowsecurity from pg_class where oid = $1::regclass', [`public.${table}`]);
                assert.equal(rows[0].relrowsecurity, true);
            });
        }

        test('only the service writes messages, sales and verdicts', async () => {
            const doors = [
                `insert into public.chat_messages (stream_session_id, username, message) values ('${sessionA}', 'x', 'x')`,
                `update public.chat_messages set message = 'x'`,
                `delete from public.chat_messages`,
                `insert into public.sales_captured (user_id, stream_session_id, platform, buyer_username, message_text)
                 values ('${userA}', '${sessionA}', 'whatnot', 'x', 'x')`,
                `insert into public.message_analysis (message_id, is_buyer, confidence, message_type, analyzer)
                 values ('${message}', true, 1, 'x', 'x') on conflict do nothing`,
                `update public.message_analysis set confidence = 1`,
                `delete from public.message_analysis`,
                `select public.increment_stream_stats('${sessionA}', 1)`,
            ];
            for (const sql of doors) {
                await refused(client, 'authenticated', userA, sql);
                await refused(client, 'anon', null, sql);
                await as(client, 'service_role', null, sql);
            }
        });

        test('owners change their sessions, sales, settings and profile, and nobody else does', async () => {
            const changes = [
                `update public.profiles set email = 'new@example.com' where id = '${userA}'`,
                `update public.user_settings set alert_sound_enabled = false where user_id = '${userA}'`,
                `update public.stream_sessions set ended_at = now() where id = '${sessionA}'`,
                `delete from public.stream_sessions where id = '${sessionA}'`,
                `update public.sales_captured set estimated_value = 1 where id = '${message}'`,
                `delete from public.sales_captured where id = '${message}'`,
            ];
            for (const sql of changes) {
                assert.equal((await as(client, 'authenticated', userA, sql)).rowCount, 1, sql);
                assert.equal((await as(client, 'authenticated', userB, sql)).rowCount, 0, sql);
                await refused(client, 'anon', null, sql);
            }
            await as(client, 'authenticated', userB, `insert into public.user_settings (user_id) values ('${userB}')`);
            await refused(client, 'authenticated', randomUUID(), `insert into public.user_settings (user_id) values ('${userB}')`);
            const session = `insert into public.stream_sessions (user_id, platform) values ('${userA}', 'whatnot')`;
            await as(client, 'authenticated', userA, session);
            await refused(client, 'authenticated', userB, session);
            await refused(client, 'anon', null, session);
        });

        test('nobody gives own rows to, or takes rows from, another user', async () => {
            await refused(client, 'authenticated', userA, `update public.stream_sessions set user_id = '${userB}'`);
            await refused(client, 'authenticated', userA, `update public.sales_captured set user_id = '${userB}'`);
            await refused(client, 'authenticated', userA, `update public.user_settings set user_id = '${userB}'`);
        });

        test('schema dealflow is closed; the service reads and trims the log, no more', async () => {
            for (const role of ['anon', 'authenticated']) {
                await refused(client, role, userA, 'select from dealflow.change_log');
                await refused(client, role, userA, `select dealflow.trim_change_log('1 day')`);
                await refused(client, role, userA, `select dealflow.watch_table('public.profiles')`);
            }
            await as(client, 'service_role', null, 'select from dealflow.change_log');
            await as(client, 'service_role', null, `select dealflow.trim_change_log('1 day')`);
            await refused(client, 'service_role', null, 'delete from dealflow.change_log');
            await refused(client, 'service_role', null, 'select from dealflow.schema_migrations');
            await refused(client, 'service_role', null, `select dealflow.watch_table('public.profiles')`);
        });

        test('policies compute the user once per statement', async () => {
            const { rows } = await client.query(`select tablename, policyname from pg_policies where schemaname = 'public'
                and (qual || coalesce(with_check, '') ~ '(?<!SELECT )auth\\.uid\\(\\)')`);
            assert.deepEqual(rows, []);
        });

        test('a login role becomes the service as 0002_roles.sql documents', async () => {
            await client.query(`create role dealflow_function login noinherit`);
            await client.query('grant service_role to dealflow_function');
            await client.query(`alter role dealflow_function set role = 'service_role'`);
            const url = server.url('dealflow_function');
            assert.equal(await psql(url, `select current_user; select count(*) from public.stream_sessions`), 'service_role\n2');
        });
    });

    describe('accounts and counters', () => {
        test('a new account gets profile and settings, also without e-mail or with a taken one', async () => {
            const [plain, phone] = [randomUUID(), randomUUID()];
            await client.query(`insert into auth.users (id, email) values ($1, 'new@example.com'), ($2, null)`, [plain, phone]);
            const { rows } = await client.query(`select p.email, s.alert_sound_enabled, p.subscription_status
                from public.profiles p join public.user_settings s on s.user_id = p.id
                where p.id in ($1, $2) order by p.id = $2`, [plain, phone]);
            assert.deepEqual(rows.map((r) => r.email), ['new@example.com', `${phone}@no-email.invalid`]);
            assert.deepEqual(rows[0], { email: 'new@example.com', alert_sound_enabled: true, subscription_status: 'none' });

            await client.query(`update public.profiles set email = 'taken@example.com' where id = $1`, [plain]);
            const twin = randomUUID();
            await client.query(`insert into auth.users (id, email) values ($1, 'taken@example.com')`, [twin]);
            assert.equal((await client.query('select email from public.profiles where id = $1', [twin])).rows[0].email,
                `${twin}@no-email.invalid`);
            await client.query('delete from auth.users where id = any($1)', [[plain, phone, twin]]);
            assert.equal((await client.query('select from public.profiles where id = $1', [plain])).rowCount, 0);
        });

        test('updated_at follows every update', async () => {
            await client.query(`update public.profiles set updated_at = 'epoch', stripe_customer_id = 'c' where id = $1`, [userA]);
            const { rows } = await client.query(`select updated_at > now() - interval '1 minute' as fresh from public.profiles where id = $1`, [userA]);
            assert.equal(rows[0].fresh, true);
        });

        test('increment_stream_stats adds one sale and its value, and announces the session', async () => {
            await listener.take();
            // two transactions: within one, two equal notifications of the same millisecond arrive as one
            await client.query('select public.increment_stream_stats($1, 12.34)', [sessionA]);
            await client.query('select public.increment_stream_stats($1)', [sessionA]);
            const { rows } = await client.query(
                'select total_sales_caught as n, total_revenue_recovered as sum from public.stream_sessions where id = $1', [sessionA]);
            assert.deepEqual(rows[0], { n: 2, sum: '12.34' });
            const heard = (await listener.take()).map((p) => JSON.parse(p));
            assert.equal(heard.length, 2);
            for (const change of heard) {
                assert.equal(change.table, 'stream_sessions');
                assert.equal(change.type, 'UPDATE');
                assert.equal(change.stream_session_id, sessionA);
                assert.deepEqual(change.ids, [sessionA]);
            }
        });

        test('confidence stays within 0 and 1, and fallbacks are found oldest first by index', async () => {
            const { rows } = await client.query(insertMessages, [sessionA, 1]);
            const verdict = `insert into public.message_analysis (message_id, is_buyer, confidence, message_type, analyzer)
                values ($1, false, $2, 'question', 'local-fallback')`;
            for (const confidence of [-0.01, 1.01, 'NaN'])
                await assert.rejects(client.query(verdict, [rows[0].id, confidence]), { code: '23514' });
            await client.query(verdict, [rows[0].id, 0.2]);
            await client.query('set enable_seqscan = off; set enable_bitmapscan = off');
            const plan = await client.query(`explain select message_id from public.message_analysis
                where analyzer = 'local-fallback' order by analyzed_at limit 10`);
            await client.query('reset enable_seqscan; reset enable_bitmapscan');
            assert.match(JSON.stringify(plan.rows), /Index Scan using message_analysis_fallback/);
            assert.doesNotMatch(JSON.stringify(plan.rows), /Sort/);
        });
    });

    describe('changes', () => {
        const lastLogged = async (table) => (await client.query(
            'select * from dealflow.change_log where table_name = $1 order by seq desc limit 1', [table])).rows[0];

        before(() => listener.take());

        test('a notification comes after the commit, once, and says what the log says', async () => {
            await client.query('begin');
            const { rows } = await client.query(insertMessages, [sessionA, 3]);
            assert.deepEqual(await listener.take(), []);
            await client.query('commit');
            const heard = await listener.take();
            assert.equal(heard.length, 1);
            const change = JSON.parse(heard[0]);
            const logged = await lastLogged('chat_messages');
            assert.match(change.commit_timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
            assert.ok(Math.abs(Date.parse(change.commit_timestamp) - Date.now()) < 60_000);
            assert.deepEqual(change, {
                schema: 'public',
                table: 'chat_messages',
                type: 'INSERT',
                stream_session_id: sessionA,
                ids: rows.map((r) => r.id),
                commit_timestamp: logged.at.toISOString(),
            });
            assert.deepEqual(logged.ids, change.ids);
            assert.equal(logged.stream_session_id, sessionA);
            assert.equal(logged.op, 'INSERT');
            assert.equal(logged.old_rows, null);
        });

        test('after a rollback nothing is heard and nothing is logged', async () => {
            const before = await lastLogged('chat_messages');
            await client.query('begin');
            await client.query(insertMessages, [sessionA, 3]);
            await client.query('rollback');
            assert.deepEqual(await listener.take(), []);
            assert.deepEqual(await lastLogged('chat_messages'), before);
        });

        test('a statement that changes no row says nothing', async () => {
            await client.query('delete from public.chat_messages where id = $1', [randomUUID()]);
            await client.query('update public.stream_sessions set ended_at = now() where id = $1', [randomUUID()]);
            assert.deepEqual(await listener.take(), []);
        });

        test('one statement for two sessions is two notifications, each in the order of the statement', async () => {
            const ids = Array.from({ length: 40 }, () => randomUUID());
            await client.query(`insert into public.chat_messages (id, stream_session_id, username, message)
                select id, case when n % 2 = 1 then $2::uuid else $3 end, 'v', 'm'
                from unnest($1::uuid[]) with ordinality as u (id, n)`, [ids, sessionA, sessionB]);
            const heard = (await listener.take()).map((p) => JSON.parse(p));
            const idsOf = (session) => heard.filter((c) => c.stream_session_id === session).map((c) => c.ids);
            assert.equal(heard.length, 2);
            assert.deepEqual(idsOf(sessionA), [ids.filter((_, i) => i % 2 === 0)]);
            assert.deepEqual(idsOf(sessionB), [ids.filter((_, i) => i % 2 === 1)]);
        });

        test('10,000 rows: every id once and in order, every payload below 8000 bytes', async () => {
            const { rows } = await client.query(insertMessages, [sessionA, 10_000]);
            const heard = await listener.take();
            assert.ok(Math.max(...heard.map((p) => Buffer.byteLength(p))) < 8000);
            const ids = rows.map((r) => r.id);
            assert.deepEqual(heard.flatMap((p) => JSON.parse(p).ids), ids);
            assert.equal(heard.length, Math.ceil(10_000 / 180));
            const logged = await client.query(`select ids from dealflow.change_log where table_name = 'chat_messages'
                and xid = (select max(xid) from dealflow.change_log where table_name = 'chat_messages') order by seq`);
            assert.deepEqual(logged.rows.flatMap((r) => r.ids), ids);
        });

        test('DELETE carries the old keys and the columns filters may name, not the text', async () => {
            const { rows } = await client.query(`delete from public.chat_messages where stream_session_id = $1 and message like 'line 1%' returning *`, [sessionA]);
            const heard = (await listener.take()).map((p) => JSON.parse(p));
            assert.ok(rows.length > 180 && heard.every((c) => c.type === 'DELETE'));
            const logged = await client.query(`select ids, old_rows from dealflow.change_log where op = 'DELETE' order by seq`);
            assert.deepEqual(logged.rows.flatMap((r) => r.ids), heard.flatMap((c) => c.ids));
            assert.deepEqual(logged.rows.flatMap((r) => r.ids).sort(), rows.map((r) => r.id).sort());
            const olds = logged.rows.flatMap((r) => r.old_rows);
            assert.deepEqual(olds.map((o) => o.id), logged.rows.flatMap((r) => r.ids));
            assert.deepEqual(Object.keys(olds[0]).sort(), ['created_at', 'id', 'platform', 'stream_session_id', 'username']);
            assert.equal(olds[0].username, 'viewer');
        });

        test('UPDATE carries the state before it, also of a sale whose session goes', async () => {
            await client.query('update public.stream_sessions set ended_at = $2 where id = $1', [sessionA, '2026-01-01T00:00:00Z']);
            const first = await lastLogged('stream_sessions');
            assert.equal(first.op, 'UPDATE');
            assert.deepEqual(first.old_rows.map((o) => [o.id, o.user_id, o.ended_at]), [[sessionA, userA, null]]);

            const { rows } = await client.query(`insert into public.stream_sessions (user_id, platform) values ($1, 'youtube') returning id`, [userB]);
            const sale = randomUUID();
            await client.query(`insert into public.sales_captured (id, user_id, stream_session_id, platform, buyer_username, message_text)
                values ($1, $2, $3, 'youtube', 'b', 'm')`, [sale, userB, rows[0].id]);
            await client.query('delete from public.stream_sessions where id = $1', [rows[0].id]);
            const last = await lastLogged('sales_captured');
            assert.equal(last.op, 'UPDATE');
            assert.equal(last.stream_session_id, null);
            assert.deepEqual(last.ids, [sale]);
            assert.equal(last.old_rows[0].stream_session_id, rows[0].id);
            const types = (await listener.take()).map((p) => JSON.parse(p)).map((c) => `${c.type} ${c.table}`);
            assert.ok(types.includes('DELETE stream_sessions') && types.includes('UPDATE sales_captured'), types.join());
        });

        test('an update of 10,000 rows with a plan made for one stays fast', async () => {
            // two sessions of 5,000 rows: a nested loop would look at 10^8 pairs
            await client.query('update public.chat_messages set username = username where id = (select id from public.chat_messages limit 1)');
            await client.query(insertMessages, [sessionB, 5000]);
            await listener.take();
            await client.query(`set statement_timeout = '10s'`);
            const { rowCount } = await client.query(`update public.chat_messages set platform = 'tiktok'`);
            await client.query('reset statement_timeout');
            const heard = (await listener.take()).map((p) => JSON.parse(p));
            assert.ok(rowCount > 10_000);
            assert.equal(new Set(heard.flatMap((c) => c.ids)).size, rowCount);
        });

        test('a reader with a snapshot misses nothing that commits out of order', async () => {
            const read = async (last) => {
                await client.query('begin isolation level repeatable read');
                const { rows } = await client.query(`select seq, ids, pg_current_snapshot()::text as now from dealflow.change_log
                    where xid >= pg_snapshot_xmin($1::pg_snapshot) and not pg_visible_in_snapshot(xid, $1::pg_snapshot)
                    order by seq`, [last]);
                const { rows: [{ now }] } = await client.query('select pg_current_snapshot()::text as now');
                await client.query('commit');
                return { ids: rows.flatMap((r) => r.ids), now };
            };
            const start = (await client.query('select pg_current_snapshot()::text as now')).rows[0].now;
            const slow = await connect(server.superUrl);
            await slow.query('begin');
            const early = (await slow.query(insertMessages, [sessionA, 1])).rows[0].id; // lower seq, commits last
            const late = (await client.query(insertMessages, [sessionA, 1])).rows[0].id;
            const first = await read(start);
            await slow.query('commit');
            const second = await read(first.now);
            const third = await read(second.now);
            await slow.end();
            assert.deepEqual([first.ids, second.ids, third.ids], [[late], [early], []]);
        });

        test('any table with a primary key can be watched, whatever its key', async () => {
            await client.query(`create table public."odd ""name" (a int, "b.r.x" text, note text, primary key ("b.r.x", a));
                create table public.serials (id bigint generated always as identity primary key, note text)`);
            await client.query(`select dealflow.watch_table('public."odd ""name"', p_old_columns => '{note}'),
                dealflow.watch_table('public.serials')`);
            await listener.take();
            await client.query(`insert into public."odd ""name" values (1, 'k"ey', 'n'), (2, repeat('ä', 1000), 'n')`);
            await client.query(`update public."odd ""name" set note = 'm' where a = 1`);
            await client.query(`delete from public."odd ""name" where a = 1`);
            const odd = (await listener.take()).map((p) => JSON.parse(p));
            assert.deepEqual(odd.map((c) => c.type), ['INSERT', 'UPDATE', 'DELETE']);
            assert.deepEqual(odd[0].ids, [{ 'b.r.x': 'k"ey', a: 1 }, { 'b.r.x': 'ä'.repeat(1000), a: 2 }]);
            assert.equal(odd[2].table, 'odd "name');
            assert.equal(odd[2].stream_session_id, null);
            const logged = await lastLogged('odd "name');
            assert.deepEqual(logged.keys, odd[2].ids);
            assert.deepEqual(logged.old_rows, [{ 'b.r.x': 'k"ey', a: 1, note: 'm' }]);
            assert.equal(logged.ids, null);

            await client.query(`insert into public.serials (note) select 'x' from generate_series(1, 5000)`);
            const serials = await listener.take();
            assert.ok(serials.every((p) => Buffer.byteLength(p) < 8000));
            assert.deepEqual(serials.flatMap((p) => JSON.parse(p).ids), Array.from({ length: 5000 }, (_, i) => i + 1));
        });

        test('a key too long for any payload does not fail the statement', async () => {
            await client.query(`create table public.long_keys (k text primary key); select dealflow.watch_table('public.long_keys')`);
            await client.query(`insert into public.long_keys values (repeat('x', 20000))`);
            const [payload] = (await listener.take()).map((p) => JSON.parse(p));
            assert.deepEqual(payload.ids, []);
            assert.equal((await lastLogged('long_keys')).keys[0].length, 20000);
        });

        test('watch_table refuses what it cannot watch', async () => {
            await client.query('create table public.keyless (a int)');
            await assert.rejects(client.query(`select dealflow.watch_table('public.keyless')`), /no primary key/);
            await assert.rejects(client.query(`select dealflow.watch_table('public.serials', 'note')`), { code: '42703' });
            await assert.rejects(client.query(`select dealflow.watch_table('public.serials', p_old_columns => '{nope}')`), { code: '42703' });
        });

        test('trimming drops what is older than the age, and nothing else', async () => {
            await client.query(`update dealflow.change_log set at = at - interval '2 hours'`);
            const old = Number((await client.query('select count(*) from dealflow.change_log')).rows[0].count);
            await client.query(insertMessages, [sessionA, 2]);
            const trim = async (age) => Number((await client.query('select dealflow.trim_change_log($1)', [age])).rows[0].trim_change_log);
            assert.equal(await trim('3 hours'), 0);
            assert.equal(await trim('1 hour'), old);
            assert.equal(await trim('1 hour'), 0);
            assert.equal((await lastLogged('chat_messages')).ids.length, 2);
            assert.equal(await trim('0'), 1);
            await assert.rejects(trim('-1 hour'), { code: '22023' });
        });
    });
});

describe('sql on an old Supabase database', () => {
    let server, client;
    const contents = async () => {
        const found = {};
        for (const table of ['auth.users', 'public.profiles', 'public.user_settings', 'public.stream_sessions',
            'public.chat_messages', 'public.sales_captured'])
            found[table] = (await client.query(`select count(*)::int as n, md5(string_agg(t::text, '|' order by t::text)) as sum from ${table} t`)).rows[0];
        return found;
    };
    // \restrict lines hold a random word
    const dump = (...args) => execFileSync('pg_dump', [...args, '-d', server.superUrl], { encoding: 'utf8', maxBuffer: 64 << 20 })
        .replace(/^\\(un)?restrict .*$/gm, '');

    before(async () => {
        server = await startPostgres();
        await psql(server.superUrl, fs.readFileSync(path.join(here, 'fixtures/supabase-old.sql'), 'utf8'));
        client = await connect(server.superUrl);
    });
    after(async () => {
        await client?.end();
        await server?.remove();
    });

    test('nothing is lost, and schemas auth and realtime stay as they are', async () => {
        const roles = `select rolname, rolcanlogin, rolinherit, rolbypassrls,
            array(select roleid::regrole::text from pg_auth_members where member = r.oid order by 1) as of
            from pg_roles r where rolname !~ '^pg_' order by 1`;
        const before = { rows: await contents(), schemas: dump('-n', 'auth', '-n', 'realtime'), roles: (await client.query(roles)).rows };
        const columns = dump('-s', '-t', 'public.sales_captured').match(/CREATE TABLE[^;]*;/)[0];
        const { code, stdout, stderr } = await migrate(server.superUrl);
        assert.equal(code, 0, stderr);
        assert.match(stdout, /done: /);
        assert.match(stderr, /"A name nobody can guess" on chat_messages is removed/);
        assert.deepEqual(await contents(), before.rows);
        assert.equal(before.rows['public.chat_messages'].n, 3000);
        assert.equal(dump('-n', 'auth', '-n', 'realtime'), before.schemas);
        assert.deepEqual((await client.query(roles)).rows, before.roles);
        assert.equal(dump('-s', '-t', 'public.sales_captured').match(/CREATE TABLE[^;]*;/)[0], columns);
        assert.equal(await migrated(server.superUrl), 'nothing to do: the database is up to date\n');
    });

    test('the holes are shut', async () => {
        const { rows: [{ id, user_id }] } = await client.query('select id, user_id from public.stream_sessions limit 1');
        const write = `insert into public.chat_messages (stream_session_id, username, message) values ('${id}', 'x', 'x')`;
        await refused(client, 'anon', null, write);
        await refused(client, 'authenticated', user_id, write);
        await refused(client, 'anon', null, 'select from public.chat_messages');
        await refused(client, 'anon', null, 'select from public.message_analysis');
        await refused(client, 'anon', null, `select public.increment_stream_stats('${id}', 1)`);
        await refused(client, 'authenticated', user_id, `select public.increment_stream_stats('${id}', 1)`);
        await refused(client, 'authenticated', user_id, `insert into public.sales_captured
            (user_id, platform, buyer_username, message_text) values ('${user_id}', 'whatnot', 'x', 'x')`);
        const { rows } = await client.query(`select policyname from pg_policies where schemaname = 'public'
            and (tablename = 'chat_messages' and cmd <> 'SELECT' or qual = 'true' or with_check = 'true')`);
        assert.deepEqual(rows, []);
    });

    test('owners go on as before', async () => {
        const { rows: [{ user_id }] } = await client.query('select user_id from public.stream_sessions limit 1');
        const count = async (table) => (await as(client, 'authenticated', user_id, `select count(*)::int as n from public.${table}`)).rows[0].n;
        assert.deepEqual([await count('profiles'), await count('stream_sessions'), await count('chat_messages'),
            await count('sales_captured'), await count('user_settings')], [1, 3, 150, 3, 1]);
    });

    test('no index is built twice, no second account trigger, the publication is complete', async () => {
        const { rows } = await client.query(`select count(*)::int as n from pg_index
            where indrelid in ('public.sales_captured'::regclass, 'public.stream_sessions'::regclass, 'public.chat_messages'::regclass)`);
        assert.equal(rows[0].n, 5 + 3); // the old five and three primary keys
        await client.query(`insert into auth.users (id, email) values (gen_random_uuid(), 'late@example.com')`);
        assert.equal((await client.query(`select from public.profiles join public.user_settings on user_id = id where email = 'late@example.com'`)).rowCount, 1);
        const published = await client.query(`select tablename from pg_publication_tables where pubname = 'supabase_realtime' order by 1`);
        assert.deepEqual(published.rows.map((r) => r.tablename), ['chat_messages', 'sales_captured', 'stream_sessions']);
    });

    test('a publication for all tables is left alone', async () => {
        await client.query('create database all_tables');
        const url = server.url('postgres', 'all_tables');
        await psql(url, 'create publication supabase_realtime for all tables');
        await migrated(url);
        assert.equal(await psql(url, `select puballtables from pg_publication`), 't');
        // a log without a replica identity could not be trimmed any more
        assert.equal(await psql(url, `insert into auth.users (email) values ('x@example.com');
            insert into public.stream_sessions (user_id, platform) select id, 'whatnot' from public.profiles;
            select dealflow.trim_change_log('0')`), '1');
    });
});

for (const version of newerVersions) {
    test(`sql on Postgres ${version}`, async (t) => {
        const server = await startPostgres({ binDir: newerBinDir(version) });
        const clients = [];
        t.after(async () => {
            for (const one of clients) await one.end();
            await server.remove();
        });
        assert.match(await migrated(server.superUrl), new RegExp(`done: ${migrations.length} migrations`));
        await migrated(server.superUrl);
        const client = await connect(server.superUrl);
        const listener = await listen(server.superUrl);
        clients.push(listener, client);
        assert.match((await client.query('show server_version')).rows[0].server_version, new RegExp(`^${version}\\.`));
        await addSellers(client);
        await listener.take();

        await client.query(`create role dealflow_function login noinherit;
            grant service_role to dealflow_function with set true;
            alter role dealflow_function set role = 'service_role'`);
        const program = await connect(server.url('dealflow_function'));
        const { rows } = await program.query(insertMessages, [sessionA, 500]);
        await program.query('update public.chat_messages set username = username');
        await program.query('delete from public.chat_messages where id = $1', [rows[0].id]);
        await program.end();
        const heard = (await listener.take()).map((p) => JSON.parse(p));
        const ids = (type) => heard.filter((c) => c.type === type).flatMap((c) => c.ids);
        assert.deepEqual(ids('INSERT'), rows.map((r) => r.id));
        assert.deepEqual(ids('UPDATE').sort(), rows.map((r) => r.id).sort());
        assert.deepEqual(ids('DELETE'), [rows[0].id]);
        const count = 'select count(*)::int as n from public.chat_messages';
        assert.equal((await as(client, 'authenticated', userA, count)).rows[0].n, 499);
        assert.equal((await as(client, 'authenticated', userB, count)).rows[0].n, 0);
        await refused(client, 'anon', null, count);
    });
}
