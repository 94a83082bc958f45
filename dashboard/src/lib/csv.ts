// CSV as RFC 4180 has it, safe to open in a spreadsheet: chat text comes from strangers, and a cell
// that begins with one of these characters would be run as a formula.

const STARTS_A_FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

export function csvCell(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : '';
  const safe = STARTS_A_FORMULA.test(value.trimStart()) || STARTS_A_FORMULA.test(value) ? `'${value}` : value;
  return /["\r\n,;]/.test(safe) || /^\s|\s$/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

// With a byte order mark, without which Excel reads UTF-8 as something else.
export function csv(header: readonly string[], rows: readonly (readonly (string | number | null | undefined)[])[]): string {
  return '\uFEFF' + [header, ...rows].map((row) => row.map(csvCell).join(',')).join('\r\n') + '\r\n';
}
