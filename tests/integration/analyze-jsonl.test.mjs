// dealflow-analyze --jsonl: one verdict line for each input line, whatever the input.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runAnalyze, startAnalyze } from './lib/analyze.mjs';
import { sanitized } from './lib/program.mjs';

const buyer = { username: 'kat', message: "i'll take it", platform: 'whatnot' };
const chatter = { username: 'joe', message: 'good morning everyone', platform: 'whatnot' };
const noVerdict = '{"is_buyer":false,"confidence":0,"message_type":"general","item_description":"","estimated_value":0}';
const types = ['direct_purchase', 'product_question', 'pricing_question', 'interest', 'general'];

// Every line parses, has the five fields in their order and in their ranges.
function verdicts(stdout) {
  assert.ok(stdout === '' || stdout.endsWith('\n'));
  return stdout.split('\n').slice(0, -1).map((line) => {
    const v = JSON.parse(line);
    assert.deepEqual(Object.keys(v), ['is_buyer', 'confidence', 'message_type', 'item_description', 'estimated_value']);
    assert.equal(typeof v.is_buyer, 'boolean');
    assert.ok(v.confidence >= 0 && v.confidence <= 1);
    assert.ok(types.includes(v.message_type));
    assert.equal(typeof v.item_description, 'string');
    assert.ok(v.estimated_value >= 0);
    return v;
  });
}
const captured = (v) => v.is_buyer && v.confidence >= 0.7;

test('a buyer, chatter and an offer are told apart', async () => {
  const offer = { username: 'kat', message: 'would you take $45.50 for the jordans?', platform: 'tiktok' };
  const { code, stdout, stderr } = await runAnalyze(['--jsonl'],
    [buyer, chatter, offer].map((line) => `${JSON.stringify(line)}\n`).join(''));
  const [first, second, third] = verdicts(stdout);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.equal(captured(first), true);
  assert.equal(first.message_type, 'direct_purchase');
  assert.equal(captured(second), false);
  assert.equal(third.estimated_value, 45.5);
});

test('every line is answered in order, good or not', async () => {
  const lines = [
    JSON.stringify(buyer), '', 'not json', '{"username":"x"}', JSON.stringify(chatter), '[1]',
    `${JSON.stringify(buyer)}\r`, '{"message":"i\'ll take it"}', '\t ', JSON.stringify(buyer),
  ];
  const bad = [1, 2, 3, 5, 8];
  const { code, stdout, stderr } = await runAnalyze(['--jsonl'], lines.join('\n')); // no newline at the end
  const answers = verdicts(stdout);
  assert.equal(code, 0);
  assert.equal(answers.length, lines.length);
  assert.deepEqual(answers.map(captured), [true, false, false, false, false, false, true, true, false, true]);
  for (const i of bad) assert.equal(stdout.split('\n')[i], noVerdict);
  const reasons = stderr.trim().split('\n');
  assert.equal(reasons.length, bad.length + 1);
  bad.forEach((i, n) => assert.match(reasons[n], new RegExp(`^dealflow-analyze: line ${i + 1}: .`)));
  assert.match(reasons.at(-1), /5 of 10 lines could not be read/);
  assert.equal((await runAnalyze(['--jsonl', '--strict'], lines.join('\n'))).code, 65);
  assert.equal((await runAnalyze(['--jsonl', '--strict'], JSON.stringify(buyer))).code, 0);
});

test('no line, no answer', async () => {
  assert.deepEqual(await runAnalyze(['--jsonl'], ''), { code: 0, signal: null, stdout: '', stderr: '' });
});

test('bytes that are no UTF-8, and a NUL, are no reason to fail', async () => {
  const input = Buffer.concat([
    Buffer.from('{"username":"k'), Buffer.from([0xff, 0xc3]), Buffer.from('t","message":"i will take it '),
    Buffer.from([0xf0, 0x9f, 0x00]), Buffer.from('"}\n{"message":"sold!"}\n'),
  ]);
  const { code, stdout } = await runAnalyze(['--jsonl'], input);
  assert.equal(code, 0);
  assert.deepEqual(verdicts(stdout).map(captured), [true, true]);
});

test('a file of another kind is answered line by line, with a hundred reasons', async () => {
  const { code, stdout, stderr } = await runAnalyze(['--jsonl'], 'username,message\n'.repeat(5000));
  assert.equal(code, 0);
  assert.equal(stdout, `${noVerdict}\n`.repeat(5000));
  assert.equal(stderr.trim().split('\n').length, 101);
});

test('an answer comes before the next line is sent, and a piece of a line waits', async () => {
  const child = startAnalyze(['--jsonl']);
  for (let i = 0; i < 3; i++) {
    const from = child.stdout.length;
    const text = JSON.stringify(i === 1 ? chatter : buyer);
    child.handle.stdin.write(text.slice(0, 20));
    child.handle.stdin.write(`${text.slice(20)}\n`);
    await child.sees(/\n/, { from, timeoutMs: 5000 });
    assert.equal(captured(verdicts(child.stdout)[i]), i !== 1);
  }
  child.handle.stdin.end();
  await child.ended;
  assert.equal(child.code, 0);
});

test('huge lines are answered, too huge ones are refused, the lines around them are right', async () => {
  const huge = JSON.stringify({ ...chatter, message: `i'll take it ${'x'.repeat(5_000_000)}` });
  const child = startAnalyze(['--jsonl']);
  child.handle.stdin.write(`${JSON.stringify(buyer)}\n${huge}\n`);
  const piece = Buffer.alloc(1 << 20, 'y');
  for (let i = 0; i < 70; i++) {
    if (!child.handle.stdin.write(piece)) await new Promise((go) => { child.handle.stdin.once('drain', go); });
  }
  child.handle.stdin.end(`\n${JSON.stringify(buyer)}\n`);
  await child.ended;
  assert.equal(child.code, 0);
  const answers = verdicts(child.stdout);
  assert.equal(answers.length, 4);
  assert.deepEqual([0, 2, 3].map((i) => captured(answers[i])), [true, false, true]);
  assert.equal(child.stdout.split('\n')[2], noVerdict);
  assert.match(child.text, /line 3: longer than 64 MiB/);
});

test('a reader that has enough ends it', async () => {
  const child = startAnalyze(['--jsonl']);
  child.handle.stdin.on('error', () => {});
  child.handle.stdout.destroy();
  const line = `${JSON.stringify(buyer)}\n`.repeat(1000);
  const feed = setInterval(() => child.handle.stdin.write(line), 5);
  await child.ended;
  clearInterval(feed);
  assert.ok(child.signal === 'SIGPIPE' || child.code === 74, `${child.signal} ${child.code}`);
});

test('a full disk is an error, not a short answer', async () => {
  const { default: fs } = await import('node:fs');
  const full = fs.openSync('/dev/full', 'w');
  const child = startAnalyze(['--jsonl'], {}, { stdio: ['pipe', full, 'pipe'] });
  child.handle.stdin.end(`${JSON.stringify(buyer)}\n`);
  await child.ended;
  fs.closeSync(full);
  assert.equal(child.code, 74);
  assert.match(child.text, /cannot write the verdicts: No space left on device/);
});

test('without weights it says which setting to look at', async () => {
  const { code, stdout, stderr } = await runAnalyze(['--jsonl'], '{}', { INTENT_WEIGHTS: '/nowhere/intent.weights' });
  assert.equal(code, 78);
  assert.equal(stdout, '');
  assert.match(stderr, /INTENT_WEIGHTS: .*\/nowhere\/intent\.weights/);
});

test('100,000 lines take about a second', { skip: sanitized && 'sanitizers slow it down' }, async () => {
  const input = `${JSON.stringify(buyer)}\n${JSON.stringify(chatter)}\n`.repeat(50_000);
  const began = process.hrtime.bigint();
  const { stdout } = await runAnalyze(['--jsonl'], input);
  const ms = Number(process.hrtime.bigint() - began) / 1e6;
  assert.equal(stdout.split('\n').length, 100_001);
  assert.ok(ms < 4000, `${ms} ms`); // wide: the machine may be busy
});
