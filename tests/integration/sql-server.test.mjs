// lib/postgres.mjs: the server that other tests stop, kill and start again.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { psql, startPostgres } from './lib/postgres.mjs';

let server;
before(async () => {
    server = await startPostgres({ settings: { max_connections: 20 } });
    await psql(server.superUrl, 'create table kept (n int)');
});
after(() => server?.remove());

test('settings apply, and TCP and socket lead to the same server', async () => {
    assert.equal(await psql(server.url(), 'show max_connections'), '20');
    assert.equal(await psql(server.socketUrl(), 'show port'), String(server.port));
});

test('after kill -9 the same port has all that was committed', async () => {
    const { port, pid } = server;
    await psql(server.superUrl, 'insert into kept values (1)');
    await server.kill9();
    await assert.rejects(psql(server.superUrl, 'select'), /failed/);
    await server.start();
    assert.equal(server.port, port);
    assert.notEqual(server.pid, pid);
    assert.equal(await psql(server.superUrl, 'select n from kept'), '1');
});

for (const mode of ['smart', 'fast', 'immediate']) {
    test(`stop('${mode}') and start keep the data`, async () => {
        await server.stop(mode);
        await server.stop(mode); // twice is harmless
        await assert.rejects(psql(server.superUrl, 'select'), /failed/);
        await server.start();
        assert.equal(await psql(server.superUrl, 'select n from kept'), '1');
    });
}

test('a server that cannot start says why', async () => {
    await assert.rejects(startPostgres({ settings: { shared_buffers: 'nonsense' } }), /shared_buffers/);
});

test('remove leaves no folder behind', async () => {
    assert.ok(fs.existsSync(server.dataDir));
    await server.remove();
    assert.ok(!fs.existsSync(server.socketDir));
});
