// dealflow-analyze for people: one line, a pipe of plain lines, a prompt, its options.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { analyze, runAnalyze } from './lib/analyze.mjs';
import { baseEnv } from './lib/program.mjs';
import { Child } from './lib/process.mjs';

test('--message tells verdict, item, offer and the strongest reasons', async () => {
  const { code, stdout, stderr } = await runAnalyze(['--message', "i'll take the blue one for $20"]);
  assert.equal(code, 0);
  assert.equal(stderr, '');
  assert.match(stdout, /^ {2}buyer {2}confidence 0\.[7-9]\d {2}direct_purchase\n/);
  assert.match(stdout, /item {3}.*blue/);
  assert.match(stdout, /offer {2}20\.00/);
  assert.match(stdout, /would become a sale/);
  const weights = [...stdout.matchAll(/^ +([+-]\d+\.\d\d) +[+-]+ /gm)].map((m) => Math.abs(Number(m[1])));
  assert.ok(weights.length >= 3, stdout);
  assert.deepEqual(weights, [...weights].sort((a, b) => b - a));
  assert.match(stdout, /"i'll"|"take"/);
});

test('--threshold decides about the sale, --username about the author', async () => {
  const strict = await runAnalyze(['--message', "i'll take it", '--threshold', '1']);
  assert.match(strict.stdout, /no sale: below the threshold/);
  const moderator = await runAnalyze(['--message', "i'll take it", '--username', 'nightbot']);
  assert.match(moderator.stdout, /no buyer .*\n.*no sale/);
});

test('plain lines in a pipe are explained one after the other, without colours', async () => {
  const { code, stdout } = await runAnalyze([], 'hello all\n\nhow much for the jordans?\r\n');
  assert.equal(code, 0);
  assert.match(stdout, /^hello all\n {2}no buyer/);
  assert.match(stdout, /\nhow much for the jordans\?\n {2}buyer .*pricing_question/);
  assert.equal(stdout.includes('\x1b'), false);
});

test('chat cannot drive the terminal', async () => {
  const { stdout } = await runAnalyze([], 'sold \x1b]0;title\x07 \x9b31m \xc2\x9b31m mine\n');
  assert.equal(/[\x00-\x09\x0b-\x1f\x7f\x80-\x9f]/.test(stdout), false, JSON.stringify(stdout));
});

test('on a terminal it asks for lines and takes commands', async () => {
  const child = new Child('script', ['-qec', `stty -echo; exec ${analyze}`, '/dev/null'],
    { env: { ...baseEnv, TERM: 'dumb' }, stdio: ['pipe', 'pipe', 'pipe'] });
  await child.sees(/viewer on whatnot>/);
  child.handle.stdin.write("i'll take it\n");
  await child.sees(/buyer.*would become a sale/s);
  child.handle.stdin.write(':user nightbot\n');
  await child.sees(/nightbot on whatnot>/);
  const from = child.text.length;
  child.handle.stdin.write("i'll take it\n");
  await child.sees(/no buyer/, { from });
  child.handle.stdin.write(':quit\n');
  await child.ended;
  assert.equal(child.code, 0, child.text);
});

test('wrong arguments: status 64 and what to do', async () => {
  for (const [args, why] of [
    [['--what'], /unknown option/],
    [['extra'], /unknown argument 'extra'/],
    [['--jsonl', '--message', 'x'], /use one of/],
    [['--session', 'x'], /--session x: not a UUID/],
    [['--message', 'x', '--threshold', '70'], /use a number from 0 to 1/],
    [['--strict'], /--strict goes with --jsonl/],
    [['--jsonl', '--dry-run'], /go with --session/],
    [['--jsonl', '--threshold', '0.5'], /compare it yourself/],
    [['--session', 'ab54a98c-0d1e-4f2a-8b3c-9d8e7f6a5b4c', '--analyzer', 'oracle'], /use local, gateway or hybrid/],
  ]) {
    const { code, stdout, stderr } = await runAnalyze(args);
    assert.equal(code, 64, `${args}: ${stderr}`);
    assert.equal(stdout, '');
    assert.match(stderr, why);
    assert.match(stderr, /see dealflow-analyze --help/);
  }
});

test('--help fits a screen, --version names the version', async () => {
  const help = await runAnalyze(['--help']);
  assert.equal(help.code, 0);
  assert.ok(help.stdout.split('\n').length <= 40);
  assert.match(help.stdout, /--jsonl/);
  const version = await runAnalyze(['--version']);
  assert.match(version.stdout, /^dealflow-analyze \d+\.\d+\.\d+ \(.+\)\n$/);
});
