// scraper/page/rows.js - reads one row of a chat list: who said what. Knows nothing of lists. The
// text of a row is taken as a sequence of pieces (text nodes, pictures), each with the path of
// elements that leads to it; what belongs together is told by how much of the path it shares with
// the name. Rows may hold open shadow roots.
const TEXT_MAX_BYTES = 4000;
const NAME_MAX_BYTES = 256;
const PIECES_MAX = 400;
const DEPTH_MAX = 40;
const CHAT = 0, JOIN = 1, ANNOUNCEMENT = 2;
const ROLES = { viewer: 0, moderator: 1, host: 2 };
const JOIN_TEXT = 'joined \u{1F44B}';

// An operator's selector may be invalid; one bad entry must not silence the others.
const joinSelectors = (selectors) => selectors.filter((selector) => {
  try {
    document.createDocumentFragment().querySelector(selector);
    return true;
  } catch {
    return false;
  }
}).join(',') || 'dealflow-none';

const compilePattern = (pattern) => {
  try {
    return new RegExp(pattern);
  } catch {
    return /(?!)/;
  }
};

const SKIP = joinSelectors(rules.skip_selectors);
const NAME = joinSelectors(rules.name_selectors);
const BADGE = joinSelectors(rules.badge_selectors);
const HIGHLIGHT = joinSelectors(rules.highlight_selectors);
const ANNOUNCED = joinSelectors(rules.announcement_selectors);
const USER_LINK = compilePattern(rules.user_link);
const BADGE_WORDS = new Map(Object.entries(rules.badges).map(([word, role]) => [word.toLowerCase(), ROLES[role]]));
const TIME = /^[\[(]?(?:\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]\.?m\.?)?|(?:just )?now|\d{1,2}\s?(?:s|sec|m|min|h|hr|d)s?(?: ago)?)[\])]?$/i;
const BLOCK = /^(?:p|div|li|section|article)$/;

// What is drawn inside a node: its shadow root in place of its own children, slots filled.
const drawnChildren = (node) => {
  if (node.shadowRoot) return node.shadowRoot.childNodes;
  if (node.localName === 'slot') {
    const assigned = node.assignedNodes({ flatten: true });
    if (assigned.length) return assigned;
  }
  return node.childNodes;
};

const isBlank = (text) => text.trim() === '';
const collapse = (text) => text.replace(/\s+/g, ' ').trim();

// Who an element links to: "koda" for /user/koda, else undefined.
const linkedUser = (element) => {
  if (element.localName !== 'a') return undefined;
  const href = element.getAttribute('href');
  if (!href) return undefined;
  try {
    const name = USER_LINK.exec(new URL(href, document.baseURI).pathname)?.[1];
    return name && decodeURIComponent(name);
  } catch {
    return undefined; // no address, or a stray percent sign
  }
};

// Lists the pieces of a row. An element that holds nothing counts as an empty piece: text may come
// there yet. onShadow hears of each shadow root, which nobody can observe from outside.
const collect = (node, path, found, onShadow) => {
  if (node.shadowRoot) onShadow(node.shadowRoot);
  for (const child of drawnChildren(node)) {
    if (found.pieces.length >= PIECES_MAX) return;
    if (child.nodeType === 3) {
      if (child.data !== '') found.pieces.push({ text: child.data, path, isText: true });
    } else if (child.nodeType === 1 && path.length < DEPTH_MAX && !child.matches(SKIP)) {
      const inner = [...path, child];
      const from = found.pieces.length;
      const link = linkedUser(child);
      if (child.localName === 'img') found.pieces.push({ text: child.alt, path: inner, isPicture: true });
      else if (child.localName === 'br') found.pieces.push({ text: '\n', path: inner });
      else collect(child, inner, found, onShadow);
      if (found.pieces.length === from) {
        const label = child.getAttribute('role') === 'img' ? child.getAttribute('aria-label') || '' : '';
        found.pieces.push({ text: label, path: inner, isPicture: label !== '' });
      }
      if (link) found.links.push({ name: link, from, to: found.pieces.length });
    }
  }
};

// "RI" of "riverkicks", "DT" of "dave.thrifts": an avatar without a picture. Of a name as short as
// that they may be all of it.
const isInitials = (text, name, mayBeAll = false) => {
  if (text.length === 0 || text.length > 3 || text !== text.toUpperCase()) return false;
  const low = text.toLowerCase(), whole = name.toLowerCase();
  const heads = whole.split(/[\s._-]+/).map((word) => word[0]).join('');
  return (mayBeAll || whole !== low) && (whole.startsWith(low) || heads.startsWith(low));
};

const sharedDepth = (a, b) => {
  let depth = 0;
  while (depth < a.length && depth < b.length && a[depth] === b[depth]) depth++;
  return depth;
};

const isNameText = (text, name) => collapse(text).replace(/^@/, '').replace(/\s*[:\uFF1A]$/, '').toLowerCase() === name.toLowerCase();

// Finds the piece that shows the name, and the name. The target of a link is the safest place: the
// text beside it may be shortened or be initials.
const findName = ({ pieces, links }) => {
  const textOf = (link) => collapse(pieces.slice(link.from, link.to).map((piece) => piece.isPicture ? '' : piece.text).join(''));
  const link = links.find((each) => !textOf(each).startsWith('@')); // those are mentions
  if (link) {
    const inside = (i) => i >= link.from && i < link.to;
    const same = pieces.flatMap((piece, i) => !piece.isPicture && isNameText(piece.text, link.name) ? [i] : []);
    // Of a short name the initials may be all of it: then it is shown twice, before the text.
    const isTwice = same.length > 1 && inside(same[0]) && pieces[same[0]].text.trim().length <= 3 &&
      pieces.slice(same[1] + 1).some((piece) => !isBlank(piece.text));
    if (same.length > 0) return { name: link.name, at: same[isTwice ? 1 : 0] };
    const at = pieces.findIndex((piece, i) => inside(i) && !piece.isPicture && !isBlank(piece.text) && !isInitials(piece.text.trim(), link.name));
    return { name: link.name, at: at >= 0 ? at : link.to - 1 };
  }
  const isCandidate = (piece) => !piece.isPicture && !isBlank(piece.text) && !TIME.test(piece.text.trim());
  const named = pieces.findIndex((piece) => isCandidate(piece) && piece.path.some((element) => element.matches(NAME)));
  let at = named;
  if (at < 0) {
    const texts = pieces.flatMap((piece, i) => isCandidate(piece) ? [i] : []);
    at = texts[0] ?? -1;
    if (texts.length > 1 && isInitials(pieces[texts[0]].text.trim(), pieces[texts[1]].text.trim(), texts.length > 2)) at = texts[1];
    else if (texts.length > 2 && BADGE_WORDS.has(collapse(pieces[texts[0]].text).toLowerCase())) at = texts[1];
  }
  if (at < 0) return null;
  return { name: collapse(pieces[at].text).replace(/\s*[:\uFF1A]$/, ''), at, isGuess: named < 0 };
};

// What follows the name, cut into units: one for each sibling of one of the name's ancestors. The
// deeper the ancestor, the closer the unit is to the name.
const unitsAfter = (pieces, at) => {
  const path = pieces[at].path;
  const units = [];
  for (const piece of pieces.slice(at + 1)) {
    const depth = sharedDepth(path, piece.path);
    const root = piece.path[depth] ?? piece; // a bare text node is a unit of its own
    const last = units[units.length - 1];
    if (last && last.root === root) last.pieces.push(piece);
    else units.push({ root, up: path.length - depth, pieces: [piece] });
  }
  for (const unit of units) {
    unit.text = collapse(unit.pieces.map((piece) => piece.text).join(''));
    const isElement = unit.root.nodeType === 1;
    unit.isSeparator = !isElement && /^[:\uFF1A]$/.test(unit.text);
    unit.isBadge = isElement && (BADGE_WORDS.has(unit.text.toLowerCase()) || unit.root.matches(BADGE));
    unit.isReal = unit.text !== '' && !unit.isSeparator && !unit.isBadge && !(isElement && TIME.test(unit.text));
    unit.isRoom = isElement && unit.text === '' && !unit.pieces.some((piece) => piece.isPicture);
  }
  return units;
};

// The text of units on one level, as it is shown; a new block or line stands for a blank.
const joinText = (units) => {
  let text = '', block = null;
  for (const piece of units.flatMap((unit) => unit.pieces)) {
    const mine = piece.path.findLast((element) => BLOCK.test(element.localName)) ?? null;
    if (block && mine && mine !== block && mine.parentNode === block.parentNode && !/\s$/.test(text)) text += ' ';
    if (mine && !isBlank(piece.text)) block = mine;
    text += piece.text;
  }
  return text.trim();
};

// Which level holds the message: the one that usually does in this list, else the one closest to the
// name. `list.levels` counts the levels of rows that left no choice.
const chooseLevel = (units, list) => {
  const levels = [...new Set(units.filter((unit) => unit.isReal).map((unit) => unit.up))];
  if (levels.length === 1) list.levels.set(levels[0], (list.levels.get(levels[0]) ?? 0) + 1);
  const weight = (up) => list.levels.get(up) ?? 0;
  return levels.sort((a, b) => weight(b) - weight(a) || a - b)[0];
};

const readText = (pieces, at, list) => {
  const units = unitsAfter(pieces, at);
  const up = chooseLevel(units, list);
  if (up === undefined) {
    // "Mod" or "10:30" may be all that was said, but not while there is room for more.
    const last = units.filter((unit) => unit.text !== '' && !unit.isSeparator).pop();
    const hasRoom = units.some((unit) => unit.isRoom);
    return { text: last && !hasRoom ? last.text : '', units: last && !hasRoom ? [last] : [], hasRoom };
  }
  let mine = units.filter((unit) => unit.up === up && (unit.isReal || unit.text === '' || !unit.isBadge));
  mine = mine.slice(mine.findIndex((unit) => unit.isReal));
  while (!mine[mine.length - 1].isReal) mine.pop();
  let text = joinText(mine);
  if (mine[0].root.nodeType !== 1) text = text.replace(/^[:\uFF1A]\s+/, ''); // <b>name</b>: text
  return { text, units: mine, hasRoom: false };
};

// "name: text" in a single text node.
const splitInline = (text) => {
  const found = /^\s*(?:[\[(]?\d{1,2}:\d{2}[\])]?\s+)?@?([^\s:\uFF1A]{1,64})\s?(?:[:\uFF1A]\s+|\s[\u2013\u2014\u00BB\u203A|>-]\s)(\S[^]*)$/.exec(text);
  return found && { name: found[1], text: found[2].trim() };
};

const roleOf = (pieces, at, units) => {
  const others = new Set([pieces[at], ...units.flatMap((unit) => unit.pieces)]);
  const badges = pieces.filter((piece) => !others.has(piece));
  return Math.max(0, ...badges.map((piece) => BADGE_WORDS.get(collapse(piece.text).toLowerCase()) ?? 0));
};

const cutBuffer = new Uint8Array(TEXT_MAX_BYTES);
const encoder = new TextEncoder();
// The longest start that fits, which ends with a whole character.
const cutText = (text, maxBytes) => {
  if (text.length * 3 <= maxBytes) return text;
  return text.slice(0, encoder.encodeInto(text, cutBuffer.subarray(0, maxBytes)).read);
};

// Reads a row of `list` ({levels: Map, inline, apart}: what is learned about its rows). Returns
// {name, text, kind, role, isHot, isCut}; text is "" while the row is empty. A row that has text but
// nobody's name is an announcement at best, `isNameless`.
const readRow = (row, list, onShadow) => {
  const found = { pieces: [], links: [] };
  collect(row, [], found, onShadow);
  const { pieces } = found;
  const who = findName(found);
  const line = { name: '', text: '', kind: CHAT, role: 0, isHot: false, isCut: false, isNameless: false };
  if (!who) return line;
  const { units, hasRoom, ...read } = readText(pieces, who.at, list);
  let { text } = read, { name } = who;
  if (text === '' && who.isGuess && !hasRoom) {
    const inline = list.inline >= list.apart ? splitInline(pieces[who.at].text) : null;
    if (inline) {
      ({ name, text } = inline);
      list.inline++;
    } else {
      line.isNameless = true;
      text = collapse(pieces[who.at].text);
      name = '';
    }
  } else if (text !== '') {
    list.apart++;
  }
  line.name = cutText(name, NAME_MAX_BYTES);
  line.text = cutText(text, TEXT_MAX_BYTES);
  line.isCut = line.name !== name || line.text !== text;
  line.role = roleOf(pieces, who.at, units);
  line.isHot = row.matches(HIGHLIGHT) || row.querySelector(HIGHLIGHT) !== null;
  if (line.isNameless || row.matches(ANNOUNCED) || row.querySelector(ANNOUNCED) !== null) line.kind = ANNOUNCEMENT;
  else if (line.text === JOIN_TEXT) line.kind = JOIN;
  return line;
};
