// scraper/page/observer.js - watches the chat list of a page and tells the daemon of each new row
// through the binding dealflowReport, from an isolated world that the page cannot see. Last piece of
// the script: all other pieces come before it in one function. The forms of the reports are those of
// scraper/report.c. Reads only: changes nothing, clicks nothing.
const LATE_MS = 250;   // an empty row is waited for as long as this
const STABLE_MS = 50;  // and its text is taken when it has not changed for that long
const SETTLE_MS = 1000; // after a list appears it is reported as a whole: history tells what is new
const UNSURE_MS = 300;
const TICK_MS = 1000, COUNT_MS = 5000;
const SEARCH_SHARE = 10; // after a search, the page has this many times as long for itself
const ROWS_MAX = 1000;
const ROWS_BYTES_MAX = 200000, SNAPSHOT_BYTES_MAX = 240000;
const WATCH = { childList: true, characterData: true, subtree: true };

let mode = 'report';
let list = null; // see mount()
let counted = 0, countedAt = 0;
let factsSaid = '';
let searchAt = 0, searchTimer = 0;
const faults = []; // what went wrong, for whoever debugs this

const guard = (act) => (...args) => {
  try {
    return act(...args);
  } catch (error) {
    if (faults.length < 20) faults.push(String(error?.stack ?? error));
    return undefined;
  }
};
const now = () => performance.now();
const later = (act, delayMs) => setTimeout(guard(act), delayMs);

// --- reports

const tell = (report) => {
  if (typeof globalThis.dealflowReport === 'function') globalThis.dealflowReport(JSON.stringify(report));
};

const lineOf = ({ line }) => [line.name, line.text, line.kind, line.role, Number(line.isHot), Number(line.isCut)];
const bytesOf = (line) => encoder.encode(JSON.stringify(line)).length + 1;

const tellRows = (cells) => {
  let lines = [], bytes = 0;
  for (const line of cells.map(lineOf)) {
    const more = bytesOf(line);
    if (lines.length > 0 && (bytes + more > ROWS_BYTES_MAX || lines.length >= ROWS_MAX)) {
      tell({ t: 'rows', s: list.strategy, l: lines });
      lines = [];
      bytes = 0;
    }
    lines.push(line);
    bytes += more;
  }
  if (lines.length > 0) tell({ t: 'rows', s: list.strategy, l: lines });
};

// A snapshot cannot be split, as its parts would not be snapshots: the newest rows count.
const tellSnapshot = (cells) => {
  const lines = [];
  let bytes = 0;
  for (const line of cells.slice(-ROWS_MAX).map(lineOf).reverse()) {
    bytes += bytesOf(line);
    if (bytes > SNAPSHOT_BYTES_MAX) break;
    lines.push(line);
  }
  tell({ t: 'snapshot', s: list.strategy, l: lines.reverse() });
};

// --- emitting

const remembered = []; // texts of the latest rows, to recognise a list that is drawn anew
const REMEMBERED_MAX = 100;

const noteTold = (cells) => {
  remembered.push(...cells.map(({ sig }) => ({ sig })));
  remembered.splice(0, Math.max(0, remembered.length - REMEMBERED_MAX));
};

// A row without a name stays unread for LATE_MS, in case the rest of it comes; then it is an
// announcement.
const isTellable = (cell) => cell.sig !== null || cell.line.isNameless;

const wake = (delayMs) => {
  clearTimeout(list.timer);
  list.timer = later(() => {
    list.timer = 0;
    if (relocateIfGone()) return;
    if (list.isSnapshotDue) look(true);
    else flush();
  }, delayMs + 1); // timers may be early by a fraction
};

const emit = (cells) => {
  if (cells.length === 0) return;
  noteTold(cells.filter(isReadable));
  if (mode === 'count') counted += cells.length;
  else tellRows(cells);
};

const flush = () => {
  const ready = [];
  while (list.queue.length > 0 && waitFor(list.queue[0]) === 0) {
    const cell = list.queue.shift();
    cell.isMissed = !isReadable(cell); // it may get its text, or its name, after all
    if (isTellable(cell)) ready.push(cell);
  }
  if (list.queue.length > 0) wake(waitFor(list.queue[0]));
  emit(ready);
};

const tellAll = (cells) => {
  for (const cell of cells) {
    cell.isTaken = true;
    cell.isMissed = !isReadable(cell);
  }
  const told = cells.filter(isTellable);
  remembered.length = 0;
  noteTold(told.filter(isReadable));
  if (mode === 'report' || list.isAsked) tellSnapshot(told);
};

// Sends the whole list as soon as it can be read.
const settle = () => {
  const { cells } = list;
  const shown = cells.filter(isReadable);
  // As long as rows fill up one by one, the others are likely to follow.
  const fillUntil = isFilling(cells) ? Math.min(list.filledAt + LATE_MS, list.settleUntil) : 0;
  let wait = Math.max(0, ...cells.map(waitFor), fillUntil - now(), list.holdUntil - now());
  if (wait === 0 && list.turn === 0 && !list.identity.index && shown.length > 1) {
    const turn = Math.max(0, turnByStyle(list.container)) || turnByOverlap(remembered, shown);
    if (learnTurn(turn)) cells.reverse();
    else if (turn === 0) wait = Math.max(0, list.turnUntil - now());
  }
  if (wait > 0) {
    wake(wait);
    return;
  }
  const here = new Set(cells);
  const gone = [...list.queue, ...list.gone].filter((cell) => isReadable(cell) && !here.has(cell));
  list.queue = [];
  list.gone = [];
  list.isSnapshotDue = false;
  tellAll([...gone.slice(0, gone.length - overlapLength(gone, shown)), ...cells]);
  list.isAsked = false;
};

const advance = () => {
  if (list.isSnapshotDue) settle();
  else flush();
};

// --- following the list

const learnTurn = (turn) => {
  if (turn === 0) return false;
  const isTurned = turn < 0 && list.turn >= 0;
  list.turn = turn;
  return isTurned;
};

const compare = (before, cells) => {
  if (list.turn !== 0) return compareLists(list.identity, before, cells);
  const result = compareBothWays(list.identity, before, cells);
  if (learnTurn(result.turn)) cells.reverse();
  return result;
};

// The first rows of a list: before anything else, in which order do they stand?
const begin = (cells) => {
  list.settleUntil = list.turnUntil = now() + SETTLE_MS;
  if (list.turn === 0 && learnTurn(turnByStyle(list.container))) cells.reverse();
};

const take = (cell) => Object.assign(cell, { isTaken: true });

// Another message that says the same in the same element.
const replaceCell = (cells, cell) => {
  const other = { ...cell };
  cells[cells.indexOf(cell)] = other;
  list.byElement.set(cell.element, other);
  return other;
};

const takeFresh = (before, cells) => {
  const { fresh, isUnsure, isByText } = compare(before, cells);
  if (isUnsure) {
    list.settleUntil = now() + UNSURE_MS;
    list.holdUntil = now() + STABLE_MS; // half of the rows may not have been rewritten yet
    list.isSnapshotDue = true;
    return;
  }
  for (const cell of fresh) {
    if (!cell.isTaken) list.queue.push(take(cell));
    else if (isByText && isReadable(cell)) list.queue.push(take(replaceCell(cells, cell)));
  }
};

// Reads the list and acts on what has changed.
const look = (isAll) => {
  const before = list.cells;
  const hadRows = before.some(isReadable);
  const isSettling = now() < list.settleUntil;
  const first = list.container.firstElementChild;

  if (!hadRows && first) list.isPlaced = /^(?:absolute|fixed)$/.test(getComputedStyle(first).position);
  const cells = list.cells = readCells(isAll);
  emit(list.late.splice(0).map((cell) => Object.assign(cell, { isMissed: false })));
  if (!hadRows && !cells.some((cell) => cell.name !== '' || cell.line.text !== '')) return;
  if (!hadRows && !isSettling) begin(cells);
  if (hadRows && !isSettling && !list.isSnapshotDue) {
    takeFresh(before, cells);
  } else {
    const isTold = !list.isSnapshotDue;
    const here = new Set(cells);
    // A burst may push rows out before the snapshot is made.
    list.gone.push(...before.filter((cell) => isReadable(cell) && !cell.isTaken && !here.has(cell)));
    list.isSnapshotDue = true;
    if (hadRows && list.turn === 0 && !isFilling(cells)) {
      compare(before, cells); // only to learn the direction
      // Rows may have gone while it was not known: now they can be told in their order.
      if (list.turn !== 0 && !isTold) {
        tellAll(list.turn < 0 ? before.toReversed() : before);
        list.gone = [];
      }
    }
  }
  learnIdentity(list.identity, list.cells);
  advance();
};

// With few rows it is not sure yet which element is the list and which is a row; nor is it while the
// page is being put together.
const isInDoubt = () => {
  if (list.cells.filter(isReadable).length < 2) return true;
  return now() > list.doubtAt && (list.hasDoubt || now() < list.settleUntil);
};

const update = () => {
  if (relocateIfGone()) return;
  if (isInDoubt()) {
    const from = now();
    const better = findList(collectRoots());
    if (better && better.said > 0 && (better.container !== list.container || (better.depth ?? 1) !== list.depth)) {
      unmount();
      mount(better);
      return;
    }
    list.doubtAt = now() + (now() - from) * SEARCH_SHARE;
    list.hasDoubt = false;
  }
  look(false);
};

const onListChange = guard((records) => {
  if (!list) return;
  for (const { target, addedNodes } of records) {
    const path = outerPath(target);
    const inside = path.indexOf(list.container); // how deep in the list
    if (inside >= list.depth) list.dirty.add(path[inside - list.depth]);
    else for (const node of addedNodes) list.dirty.add(node).add(node.firstElementChild);
  }
  update();
});

// --- finding it, and noticing that it is gone

// 1: newest at the end; -1: newest first; 0: not known yet.
const turnByStyle = (container) => {
  const element = container.nodeType === 1 ? container : container.host;
  if (!element) return 0;
  if (getComputedStyle(element).flexDirection === 'column-reverse') return -1;
  for (let at = element, i = 0; at && i < 3; at = at.parentElement, i++) {
    if (at.scrollHeight > at.clientHeight + 4 && at.scrollTop > 4) return 1; // someone scrolled to its end
  }
  return 0;
};

const unmount = () => {
  list.observer.disconnect();
  list.chain.disconnect();
  clearTimeout(list.timer);
  list = null;
};

const watchChain = () => {
  list.chain.disconnect();
  for (const node of outerPath(list.container).slice(1)) list.chain.observe(node, { childList: true });
};

// Something came or went around the list: it may be gone, or be one group of several.
const onSurroundings = () => {
  if (relocateIfGone()) return;
  watchChain();
  list.hasDoubt = true;
  update();
};

const mount = ({ container, strategy, depth = 1 }) => {
  list = {
    container, strategy, depth, cells: [], queue: [], gone: [], late: [], dirty: new Set(), byElement: new WeakMap(), shadows: new WeakSet(),
    learning: newLearning(), identity: newIdentity(), timer: 0, filledAt: 0, doubtAt: 0, hasDoubt: false, settleUntil: 0, holdUntil: 0, turnUntil: 0, turn: 0, isPlaced: false,
    isSnapshotDue: false, isAsked: false,
    observer: new MutationObserver(onListChange),
    chain: new MutationObserver(guard(onSurroundings)),
  };
  list.onShadow = watchShadow;
  list.observer.observe(container, WATCH);
  watchChain();
  stopSearch();
  tell({ t: 'found', s: strategy });
  look(true);
};

const isAlive = ({ container }) => outerPath(container).at(-1) === document;

const relocateIfGone = () => {
  if (!list) return true;
  if (isAlive(list)) return false;
  unmount();
  const found = findList(collectRoots());
  if (found) {
    mount(found);
  } else {
    tell({ t: 'lost' });
    watchRoots(collectRoots());
  }
  return true;
};

const searchObserver = new MutationObserver(guard((records) => {
  noteActivity(records);
  search();
}));
const searched = new Set(); // roots that are watched

const watchRoots = (roots) => {
  for (const root of roots) {
    if (!searched.has(root)) searchObserver.observe(root, WATCH);
    searched.add(root);
  }
};

const stopSearch = () => {
  searchObserver.disconnect();
  searched.clear();
  activity.clear();
};

const search = () => {
  if (searchTimer || list) return;
  const wait = searchAt - now();
  if (wait > 0) {
    searchTimer = later(() => {
      searchTimer = 0;
      search();
    }, wait);
    return;
  }
  const from = now();
  const roots = collectRoots();
  const found = findList(roots);
  searchAt = now() + Math.max(20, (now() - from) * SEARCH_SHARE);
  if (found) mount(found);
  else watchRoots(roots); // there may be new ones
};

// --- the clock

const tellFacts = () => {
  const container = list?.container ?? null;
  const key = `${hasEnded(container)} ${readViewers(container)}`;
  if (key === factsSaid) return;
  factsSaid = key;
  tell(readFacts(container));
};

const tellCount = () => {
  if (mode !== 'count' || counted === 0 || now() - countedAt < COUNT_MS) return;
  tell({ t: 'count', n: counted });
  counted = 0;
  countedAt = now();
};

const tick = () => {
  if (list) relocateIfGone();
  if (!list) {
    search(); // nobody tells of a new shadow root
  } else if (list.hasDoubt || !list.cells.some(isReadable)) {
    update();
  }
  if (document.readyState !== 'loading') tellFacts();
  tellCount();
};

// --- what the daemon calls

const snapshot = () => {
  if (relocateIfGone() && !list) {
    searchAt = 0;
    search();
  }
  if (!list) {
    tell({ t: 'lost' });
    return false;
  }
  list.isAsked = true;
  list.isSnapshotDue = true;
  look(true);
  if (list.isSnapshotDue) advance(); // an empty list is worth telling, too, when asked
  return true;
};

if (window === window.top) {
  globalThis.dealflow = {
    mode: guard((wanted) => {
      mode = wanted === 'count' ? 'count' : 'report';
      counted = 0;
      countedAt = now();
      return mode === 'report' && list ? snapshot() : true;
    }),
    snapshot: guard(snapshot),
    facts: guard(() => JSON.stringify(readFacts(list?.container ?? null))),
    faults,
  };
  watchRoots([document]);
  setInterval(guard(tick), TICK_MS);
}
