// scraper/page/find.js - where the chat list is. Looks through the document, its open shadow roots and
// the frames of the same origin, by the strategies of the rules in their order.
const ROOTS_MAX = 500;
const SCAN_MAX = 3000; // elements looked at in one neighbourhood
const PROBE_ROWS = 30;
const CLIMB_MAX = 8;
const CANDIDATES_MAX = 20;
const NEAR_MAX = 5; // how far around the message box rows are looked for without further evidence
const WIDE_BATCHES = 4, WIDE_NAMES = 3; // evidence wanted of a list that is not near it

const ROW = joinSelectors(rules.row_selectors);
const LIST = joinSelectors(rules.list_selectors);
const LOG = joinSelectors(rules.log_selectors);
const BOX = joinSelectors(rules.message_box_selectors);
const NOT_CHAT = joinSelectors(rules.not_chat_selectors);

// The parent across the borders of shadow roots and frames.
const outerParent = (node) => {
  if (node.parentNode) return node.parentNode;
  if (node.host) return node.host;
  try {
    return node.defaultView?.frameElement ?? null;
  } catch {
    return null; // a frame of another origin
  }
};

const outerPath = (node) => {
  const path = [];
  for (let at = node; at; at = outerParent(at)) path.push(at);
  return path;
};

const frameDocument = (element) => {
  if (element.localName !== 'iframe' && element.localName !== 'frame') return null;
  try {
    return element.contentDocument;
  } catch {
    return null;
  }
};

const collectRoots = () => {
  const roots = [document];
  for (const root of roots) { // grows as it goes
    for (const element of root.querySelectorAll('*')) {
      if (roots.length >= ROOTS_MAX) return roots;
      const inner = element.shadowRoot ?? frameDocument(element);
      if (inner) roots.push(inner);
    }
  }
  return roots;
};

const deepAll = (roots, selector) => roots.flatMap((root) => [...root.querySelectorAll(selector)]);

const isPage = (node) => node.nodeType === 1 && /^(?:html|body|main)$/.test(node.localName);

// --- does it look like a chat?

const isNameLike = (name) => /^\S{1,64}$/.test(name) && !/^[$\u20AC\u00A3#]?[\d.,]+[kKmM%]?$/.test(name);
const newLearning = () => ({ levels: new Map(), inline: 0, apart: 0 });
const ignore = () => {};

// Rows are the children of a list, or their children where the list is made of groups.
const rowsOf = (container, depth) => depth === 1 ? [...container.children] : [...container.children].flatMap((group) => [...group.children]);

// How many rows of a container say something under a name; 0 when it does not look like a chat.
const countSaid = (container, depth = 1) => {
  const rows = rowsOf(container, depth).slice(-PROBE_ROWS);
  const learning = newLearning();
  const lines = rows.filter((row) => !row.matches(SKIP)).map((row) => ({ row, ...readRow(row, learning, ignore) }));
  const said = lines.filter((line) => line.name !== '' && line.text !== '' && !line.isNameless);
  const cards = said.filter(({ row }) => row.matches(NOT_CHAT) || row.querySelector(NOT_CHAT)).length;
  const named = said.filter((line) => isNameLike(line.name)).length;
  const tags = new Map();
  for (const { row } of said) tags.set(row.localName, (tags.get(row.localName) ?? 0) + 1);
  const alike = Math.max(0, ...tags.values());
  const full = lines.filter((line) => line.text !== '' || line.name !== '').length;
  const isChat = said.length >= full * 0.6 && cards <= said.length * 0.2 && named >= said.length * 0.7 && alike >= said.length * 0.6;
  return isChat ? said.length : 0;
};

// Containers below a node (itself included) that have at least `least` rows, across shadow roots and
// frames.
const containersIn = (node, least) => {
  const found = [];
  const open = [node];
  for (let seen = 0; open.length > 0 && seen < SCAN_MAX; seen++) {
    const at = open.pop();
    const inner = at.shadowRoot ?? (at.nodeType === 1 ? frameDocument(at) : null);
    if (inner) open.push(inner);
    if (at.children.length >= least && !(at.nodeType === 1 && at.matches(SKIP))) found.push(at);
    open.push(...at.children);
  }
  return found;
};

const bestOf = (containers) => {
  let best = null;
  for (const depth of [1, 2]) { // only a list of groups has more rows in the second
    for (const container of containers) {
      const said = countSaid(container, depth);
      if (said > (best?.said ?? 0)) best = { container, said, depth };
    }
  }
  return best;
};

// Counts for each ancestor how many of its children hold one of the elements.
const childrenWith = (elements) => {
  const rows = new Map();
  for (const element of elements) {
    const path = outerPath(element).slice(0, CLIMB_MAX + 1);
    for (let i = 1; i < path.length && path[i].nodeType !== 9 && !isPage(path[i]); i++) {
      if (!rows.has(path[i])) rows.set(path[i], new Set());
      rows.get(path[i]).add(path[i - 1]);
    }
  }
  return [...rows].filter(([, { size }]) => size > 1).sort(([, a], [, b]) => b.size - a.size);
};

// --- strategies: each returns {container, said, depth} or null; said is 0 for a list that is still
// empty, depth is 1 where it is missing

const byTestIds = (roots) => {
  const rows = deepAll(roots, ROW);
  const list = deepAll(roots, LIST)[0];
  const best = childrenWith(rows)[0];
  if (best) return { container: best[0], said: best[1].size };
  return list ? { container: list, said: rows.length } : null; // where a list of one row ends, nobody knows
};

const byRoleLog = (roots, boxes) => {
  const logs = deepAll(roots, LOG).map((log) => {
    const best = bestOf(containersIn(log, 2)) ?? bestOf(containersIn(log, 1));
    return { container: log, said: 0, depth: 1, ...best, near: nearness(log, boxes) };
  });
  return logs.sort((a, b) => b.said - a.said || a.near - b.near)[0] ?? null;
};

// How many steps up from the message box until it contains the node, too; Infinity when only the
// page as a whole does.
const nearness = (node, boxes) => {
  const path = new Set(outerPath(node));
  const steps = boxes.map((box) => {
    const boxPath = outerPath(box);
    const up = boxPath.findIndex((node) => path.has(node));
    return up < 0 || boxPath[up].nodeType === 9 || isPage(boxPath[up]) ? Infinity : up;
  });
  return Math.min(Infinity, ...steps);
};

const byUserLinks = (roots, boxes) => {
  const links = deepAll(roots, 'a[href]').filter(linkedUser);
  const candidates = childrenWith(links).slice(0, CANDIDATES_MAX).map(([container]) => (
    { container, said: countSaid(container), near: nearness(container, boxes) }));
  return candidates.filter(({ said, near }) => said > 1 && (near < Infinity || boxes.length === 0))
    .sort((a, b) => a.near - b.near || b.said - a.said)[0] ?? null;
};

// What moved since the page was loaded: container -> {batches, names of the rows at its ends}.
const activity = new Map();
const ACTIVITY_MAX = 300;

const noteActivity = (records) => {
  if (document.readyState === 'loading') return; // the parser is at work, not the chat
  const touched = new Set();
  for (const record of records.slice(0, 500)) {
    for (let at = record.target, i = 0; at && i < CLIMB_MAX && !touched.has(at); at = outerParent(at), i++) touched.add(at);
  }
  for (const at of touched) {
    const noted = activity.get(at) ?? { batches: 0, names: new Set() };
    noted.batches++;
    activity.delete(at); // the latest at the end
    activity.set(at, noted);
  }
  while (activity.size > ACTIVITY_MAX) activity.delete(activity.keys().next().value);
};

const byStructure = (roots, boxes) => {
  for (const box of boxes) {
    for (const around of outerPath(box).slice(1, NEAR_MAX + 1)) {
      if (around.nodeType === 9 || isPage(around)) continue; // of a frame, perhaps: its surroundings count
      // Rows that came while the page was loading may have been in it from the start, as menus are.
      const isDone = document.readyState === 'complete';
      const best = bestOf(containersIn(around, 2).filter((node) => isDone || activity.has(node)));
      if (best && best.said > (activity.has(best.container) ? 1 : 2)) return best;
    }
  }
  // Far from the box, or without one: only a list whose newest row has had several names.
  let best = null;
  for (const [container, noted] of activity) {
    if (noted.batches < WIDE_BATCHES || !container.isConnected || !(container.children?.length > 1)) continue;
    if (container.nodeType === 1 && container.closest('header, nav, footer')) continue;
    const said = countSaid(container);
    if (said < 2) continue;
    for (const row of [container.firstElementChild, container.lastElementChild]) noted.names.add(readRow(row, newLearning(), ignore).name);
    if (noted.names.size > WIDE_NAMES && noted.batches > (best?.batches ?? 0)) best = { container, said, batches: noted.batches };
  }
  return best;
};

const STRATEGIES = { 'test-ids': byTestIds, 'role-log': byRoleLog, 'user-links': byUserLinks, structure: byStructure };

// The first strategy that finds rows; failing that, the first that finds an empty list.
const findList = (roots) => {
  const boxes = deepAll(roots, BOX);
  let empty = null;
  for (const strategy of rules.strategies) {
    const found = STRATEGIES[strategy](roots, boxes);
    if (found && found.said > 0) return { ...found, strategy };
    if (found && !empty) empty = { ...found, strategy };
  }
  return empty;
};
