// The command dealflow-analyze as the build made it.
import path from 'node:path';
import { Child } from './process.mjs';
import { baseEnv, binary } from './program.mjs';

export const analyze = path.join(path.dirname(binary), 'dealflow-analyze');

// Starts it with a standard input to write to; `env` on top of a bare environment.
export function startAnalyze(args, env = {}, options = {}) {
  return new Child(analyze, args, { env: { ...baseEnv, ...env }, stdio: ['pipe', 'pipe', 'pipe'], ...options });
}

// Runs it to its end with `input` on standard input; stdout, stderr, code.
export async function runAnalyze(args, input = '', env = {}) {
  const child = startAnalyze(args, env);
  let stderr = '';
  child.handle.stderr.on('data', (piece) => { stderr += piece; });
  child.handle.stdin.on('error', () => {}); // it may end before it has read everything
  child.handle.stdin.end(input);
  await child.ended;
  return { code: child.code, signal: child.signal, stdout: child.stdout, stderr };
}
