// Processes below one, as /proc shows them: who they are, what memory and time they take, what they
// listen on.
import fs from 'node:fs';

const TICKS_PER_SECOND = 100; // USER_HZ, the same on all Linux machines we build for

// pid, ppid, pgrp, state letter, name, CPU ticks (own and of reaped children); undefined when gone.
export function processOf(pid) {
  let text;
  try {
    text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')'); // a name may hold brackets and blanks
  const rest = text.slice(close + 2).split(' ');
  const number = (place) => Number(rest[place - 3]); // places as proc(5) counts them
  return {
    pid: Number(text.slice(0, open)), name: text.slice(open + 1, close), state: rest[0],
    ppid: number(4), pgrp: number(5),
    ticks: number(14) + number(15) + number(16) + number(17),
    startTicks: number(22),
  };
}

export function allProcesses() {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(processOf).filter(Boolean);
}

// The process `root`, its descendants, and who shares a process group with one of these: a crash
// handler leaves its parents but not their group.
export function tree(root, all = allProcesses()) {
  const own = all.find((each) => each.pid === root);
  if (!own) return [];
  const members = new Map([[root, own]]);
  for (let grown = true; grown;) {
    grown = false;
    const groups = new Set([...members.values()].filter((each) => each.pgrp !== own.pgrp).map((each) => each.pgrp));
    for (const each of all) {
      if (!members.has(each.pid) && (members.has(each.ppid) || groups.has(each.pgrp))) {
        members.set(each.pid, each);
        grown = true;
      }
    }
  }
  return [...members.values()];
}

export const descendants = (root) => tree(root).filter((each) => each.pid !== root);

export function commandOf(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return [];
  }
}

// Chromium's processes name their kind: "renderer", "gpu-process", ...; "" for the browser itself.
export const chromiumType = (pid) =>
  commandOf(pid).join(' ').split(' ').find((word) => word.startsWith('--type='))?.slice('--type='.length) ?? '';

function rollupBytes(pids, field) {
  let sum = 0;
  for (const pid of pids) {
    try {
      const line = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').match(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm'));
      if (line) sum += Number(line[1]) * 1024;
    } catch {
      // ended meanwhile
    }
  }
  return sum;
}

// Proportional set size of each: shared pages are divided by those who share them.
export const pssBytes = (pids) => rollupBytes(pids, 'Pss');

// Heap, stacks and the like: what a leak makes grow. Pages of files that were only touched are not in it.
export const anonymousBytes = (pids) => rollupBytes(pids, 'Anonymous');

export const treePssBytes = (root) => pssBytes(tree(root).map((each) => each.pid));

// CPU time so far. The difference of two calls is what was used between them: a child's time moves to
// its parent when it is reaped.
export const cpuSeconds = (processes) =>
  processes.reduce((sum, each) => sum + each.ticks, 0) / TICKS_PER_SECOND;
export const treeCpuSeconds = (root) => cpuSeconds(tree(root));
export const processCpuSeconds = (pid) => cpuSeconds([processOf(pid)].filter(Boolean));

// What the first thread of a process used, and all others together: exact, for small shares of a core,
// which counting ticks would guess.
export function threadCpuSeconds(pid) {
  const used = { first: 0, others: 0 };
  for (const thread of fs.readdirSync(`/proc/${pid}/task`)) {
    const nanoseconds = Number(fs.readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    used[Number(thread) === pid ? 'first' : 'others'] += nanoseconds / 1e9;
  }
  return used;
}

// Busy and all CPU time of the machine, in seconds.
export function machineCpuSeconds() {
  const fields = fs.readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, each) => sum + each, 0);
  const idle = fields[3] + fields[4];
  return { busy: (all - idle) / TICKS_PER_SECOND, all: all / TICKS_PER_SECOND };
}

export function openFiles(pid) {
  try {
    return fs.readdirSync(`/proc/${pid}/fd`).length;
  } catch {
    return 0;
  }
}

// Addresses of the TCP sockets that these processes listen on, as "127.0.0.1:3001" or "[hex]:port".
export function listening(pids) {
  const inodes = new Set();
  for (const pid of pids) {
    let names = [];
    try {
      names = fs.readdirSync(`/proc/${pid}/fd`);
    } catch {
      continue; // ended meanwhile
    }
    for (const name of names) {
      try {
        const inode = fs.readlinkSync(`/proc/${pid}/fd/${name}`).match(/^socket:\[(\d+)\]$/)?.[1];
        if (inode) inodes.add(inode);
      } catch {
        // closed meanwhile
      }
    }
  }
  const found = [];
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of fs.readFileSync(file, 'utf8').trim().split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === '0A' && inodes.has(inode)) found.push(readable(local));
    }
  }
  return found;
}

// "0100007F:0BB9" is 127.0.0.1:3001: the kernel prints the address as numbers of the machine's order.
function readable(local) {
  const [address, port] = local.split(':');
  const shown = address.length === 8
    ? address.match(/../g).reverse().map((byte) => parseInt(byte, 16)).join('.')
    : `[${address}]`;
  return `${shown}:${parseInt(port, 16)}`;
}
