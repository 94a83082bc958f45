import assert from 'node:assert/strict';
import test from 'node:test';
import { pastedToken, readToken, takeFromFragment, tokenProblem } from '../src/lib/token';

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const make = (claims: unknown) => `${part({ alg: 'HS256' })}.${part(claims)}.c2ln`;
const NOW = 1_800_000_000_000;
const good = { sub: 'user-1', role: 'authenticated', exp: NOW / 1000 + 60, email: 'jörg@example.test' };

test('claims are read, names beyond ASCII too', () => {
  assert.deepEqual(readToken(make(good)), { user: 'user-1', role: 'authenticated', email: 'jörg@example.test', expiresAt: NOW + 60_000 });
  assert.equal(readToken(make({ sub: 'x' }))?.expiresAt, Infinity);
});

test('what is no token is told apart', () => {
  for (const wrong of ['', 'abc', 'a.b.c', 'a.!.c', `x.${part(null)}.y`, `x.${part('text')}.y`, 'a.b.c.d', '..']) {
    assert.equal(tokenProblem(wrong, NOW), 'not-a-token', wrong);
  }
});

test('keys, strangers and old tokens are refused with the reason', () => {
  assert.equal(tokenProblem(make(good), NOW), undefined);
  assert.equal(tokenProblem(make({ ...good, role: 'service_role' }), NOW), 'service-key');
  assert.equal(tokenProblem(make({ ...good, role: 'anon' }), NOW), 'not-a-user');
  assert.equal(tokenProblem(make({ ...good, sub: undefined }), NOW), 'not-a-user');
  assert.equal(tokenProblem(make(good), NOW + 60_000), 'expired');
});

test('a pasted link, quotes and line breaks are understood', () => {
  for (const text of ['a.b.c', ' "a.b.c"\n', 'http://127.0.0.1:8080/#token=a.b.c', 'Bearer a.b.c', 'a.\nb.c', '/#/live&token=a.b.c&x=1']) {
    assert.equal(pastedToken(text), 'a.b.c', text);
  }
});

test('the fragment gives up its token and keeps the rest', () => {
  assert.deepEqual(takeFromFragment('#token=a.b.c'), { token: 'a.b.c', rest: '' });
  assert.deepEqual(takeFromFragment('#/buyers&token=a.b.c'), { token: 'a.b.c', rest: '#/buyers' });
  assert.deepEqual(takeFromFragment('#token=a.b.c&x=1'), { token: 'a.b.c', rest: '#x=1' });
  assert.equal(takeFromFragment('#access_token=a.b.c&token_type=bearer'), undefined);
  assert.equal(takeFromFragment('#/live'), undefined);
  assert.equal(takeFromFragment('#token=%zz')?.token, '%zz');
});
