// Bundles the tests (TypeScript) with esbuild and runs them with Node's own runner.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(here, '../../build/dashboard-test');
const files = fs.readdirSync(here).filter((name) => name.endsWith('.test.ts'));

fs.rmSync(out, { recursive: true, force: true });
await build({
  entryPoints: files.map((name) => path.join(here, name)), outdir: out, outExtension: { '.js': '.mjs' },
  bundle: true, platform: 'node', format: 'esm', target: 'node18', packages: 'external', logLevel: 'warning',
});
const made = files.map((name) => path.join(out, name.replace(/\.ts$/, '.mjs')));
const ran = spawnSync(process.execPath, ['--test', ...made], { stdio: 'inherit' });
process.exit(ran.status ?? 1);
