// Waiting for conditions: no test sleeps and hopes.
import net from 'node:net';

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Calls `probe` until it returns something truthy, and returns that. An exception counts as "not
// yet" unless it is marked `final`; the last one is named when time runs out.
export async function until(what, probe, { timeoutMs = 15_000, everyMs = 10 } = {}) {
  const deadline = Date.now() + timeoutMs;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      if (error.final) throw error;
      last = error;
    }
    if (Date.now() >= deadline) {
      throw new Error(`waited ${timeoutMs} ms in vain for ${what}${last ? `: ${last.message}` : ''}`);
    }
    await sleep(everyMs);
  }
}

// Rejects when `promise` takes longer than that.
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A port that was free a moment ago. The kernel hands out ephemeral ports in random order, so two
// tests that ask at the same time do not collide in practice.
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// True when something accepts at that port or socket path.
export function accepts(where) {
  return new Promise((resolve) => {
    const socket = typeof where === 'number' ? net.connect(where, '127.0.0.1') : net.connect(where);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
