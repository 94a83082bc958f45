import assert from 'node:assert/strict';
import test from 'node:test';
import { csv, csvCell } from '../src/lib/csv';

test('quotes, commas and line breaks are quoted', () => {
  assert.equal(csvCell('plain'), 'plain');
  assert.equal(csvCell('a "b", c'), '"a ""b"", c"');
  assert.equal(csvCell('two\nlines'), '"two\nlines"');
  assert.equal(csvCell(' edge '), '" edge "');
  assert.equal(csvCell(null), '');
  assert.equal(csvCell(undefined), '');
});

test('nothing becomes a formula', () => {
  for (const evil of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '  =cmd|" /C calc"!A0', '\r=1', '＝1']) {
    const cell = csvCell(evil);
    assert.ok(cell.startsWith("'") || cell.startsWith("\"'"), `${JSON.stringify(evil)} became ${cell}`);
  }
  assert.equal(csvCell('a=b'), 'a=b');
});

test('numbers stay numbers', () => {
  assert.equal(csvCell(-12.5), '-12.5');
  assert.equal(csvCell(NaN), '');
});

test('a file: mark, header, rows', () => {
  assert.equal(csv(['a', 'b'], [['x', 1], ['ü', null]]), '\uFEFFa,b\r\nx,1\r\nü,\r\n');
});
