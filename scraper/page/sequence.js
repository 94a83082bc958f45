// scraper/page/sequence.js - which rows of a list are new, from how it looked before and how it
// looks now. A row is a cell: {element, name, sig (name and text, null while empty), index, id, was,
// old}. Both lists are in the order of the talk. `was` is the same row's identity at the last look,
// `old` the row that stood in the same element before it was rewritten.
const SEEN_MAX = 4000;

const isReadable = (cell) => cell.sig !== null;

// The longest end of `before` that `after` begins with. Longest first, so that "W" after "W" counts
// as one more only where it has to.
const overlapLength = (before, after) => {
  const last = Math.min(before.length, after.length);
  for (let length = last; length > 0; length--) {
    const from = before.length - length;
    let i = 0;
    while (i < length && before[from + i].sig === after[i].sig) i++;
    if (i === length) return length;
  }
  return 0;
};

// --- rows with an identity of their own. An attribute is trusted until it proves to be something
// else: the place in a pool, say, which says other things as rows are rewritten.

const newIdentity = () => ({ index: true, id: true, texts: new Map(), maxIndex: -Infinity });

const remember = (identity, key, sig) => {
  identity.texts.delete(key);
  identity.texts.set(key, sig);
  if (identity.texts.size > SEEN_MAX) identity.texts.delete(identity.texts.keys().next().value);
};

const tokenOf = (cell, by) => cell[by] === null ? null : `${by} ${cell[by]}`;

// Does this attribute tell the rows apart, and does it still say of each what it said before?
const holdsTrue = (identity, by, now) => {
  const seen = new Set();
  for (const cell of now) {
    const token = tokenOf(cell, by);
    if (token === null || seen.has(token) || (cell.was && cell.was[by] !== cell[by])) return false;
    seen.add(token);
    const text = identity.texts.get(token);
    // The same name with another text is a message that was changed or taken back.
    if (text !== undefined && text !== cell.sig && text.split('\0')[0] !== cell.sig.split('\0')[0]) return false;
  }
  return true;
};

const isMonotone = (now) => {
  const step = now.length > 1 ? Math.sign(now[1].index - now[0].index) : 1;
  return now.every((cell, i) => i === 0 || Math.sign(cell.index - now[i - 1].index) === step);
};

// Takes note of what is shown, for later comparison; drops what cannot be trusted.
const learnIdentity = (identity, cells) => {
  const now = cells.filter(isReadable);
  if (identity.index) identity.index = holdsTrue(identity, 'index', now) && isMonotone(now);
  if (identity.id) identity.id = holdsTrue(identity, 'id', now);
  for (const cell of now) {
    if (identity.index) remember(identity, tokenOf(cell, 'index'), cell.sig);
    if (identity.id) remember(identity, tokenOf(cell, 'id'), cell.sig);
    if (identity.index) identity.maxIndex = Math.max(identity.maxIndex, cell.index);
  }
};

// --- the comparison. Results: {fresh} are new cells in order; isByText says that elements meant
// nothing, a new message may stand in the same one as an equal message before; isUnsure that the lists
// have too little in common to tell, and that somebody with a longer memory should look at all of it.

const byIndex = (identity, cells) => {
  const fresh = cells.filter((cell) => cell.index !== null && cell.index > identity.maxIndex);
  return { fresh: fresh.sort((a, b) => a.index - b.index) };
};

const byAnchor = (before, cells, isSame) => {
  const places = new Map(before.map((cell, i) => [isSame(cell), i]));
  let at = cells.length - 1;
  while (at >= 0 && !(isReadable(cells[at]) && places.has(isSame(cells[at])))) at--;
  if (at < 0) return null;
  const gone = before.slice(places.get(isSame(cells[at])) + 1).filter(isReadable);
  const come = cells.slice(at + 1);
  // Rows that were replaced by fresh elements of the same text are no news.
  const again = overlapLength(gone, come.filter(isReadable));
  if (again === 0) return { fresh: come };
  const known = new Set(come.filter(isReadable).slice(0, again));
  return { fresh: come.filter((cell) => !known.has(cell)) };
};

const byText = (before, cells) => {
  const now = cells.filter(isReadable);
  const length = overlapLength(before, now);
  const least = Math.min(before.length, now.length);
  const isSure = length >= 3 || (length > 0 && length * 2 >= least);
  const known = new Set(now.slice(0, length));
  return { fresh: cells.filter((cell) => !known.has(cell)), isUnsure: !isSure, isByText: true, length };
};

// A few rows of many were rewritten where they stand: a ring of rows that is ordered by its style, or
// messages that were taken back (the name stays).
const inPlace = (cells) => {
  const changed = cells.filter((cell) => cell.old);
  if (changed.length === 0 || changed.length * 2 > cells.length) return null;
  return { fresh: changed.filter((cell) => cell.old.name !== cell.name) };
};

const compareLists = (identity, beforeCells, cells) => {
  const before = beforeCells.filter(isReadable);
  const now = cells.filter(isReadable);
  if (identity.index && holdsTrue(identity, 'index', now) && isMonotone(now)) return byIndex(identity, cells);
  identity.index = false;
  if (identity.id && holdsTrue(identity, 'id', now)) {
    const found = byAnchor(before, cells, (cell) => cell.id);
    if (!found) return { fresh: [], isUnsure: true };
    return { fresh: found.fresh.filter((cell) => !identity.texts.has(tokenOf(cell, 'id'))) };
  }
  identity.id = false;
  if (!cells.some((cell) => cell.old)) {
    const found = byAnchor(before, cells, (cell) => cell.element);
    if (found) return found;
  }
  const found = byText(before, cells);
  return found.isUnsure ? inPlace(cells) ?? found : found;
};

// A list drawn anew shows what was there before: in which order? 1, -1, or 0 where chance may be at play.
const turnByOverlap = (before, now) => {
  const forward = overlapLength(before, now), backward = overlapLength(before, now.toReversed());
  return Math.max(forward, backward) < Math.min(3, now.length) ? 0 : Math.sign(forward - backward);
};

// Lists that run newest first are compared in their mirror image. While the direction is not known,
// both are tried: the one that sees rows come at its end, or more of the old list, is right.
const compareBothWays = (identity, before, cells) => {
  const clone = () => ({ ...identity });
  const one = clone(), other = clone();
  const forward = compareLists(one, before, cells);
  const backward = compareLists(other, before.toReversed(), cells.toReversed());
  const known = new Set(before);
  const isNews = (cell) => !known.has(cell); // a heading that was there is not
  const weigh = ({ isUnsure, length = 0, fresh }) => (isUnsure ? 0 : 1e6) + length * 10 + (fresh.some(isNews) ? 1 : 0);
  const turn = forward.isUnsure && backward.isUnsure ? 0 : Math.sign(weigh(forward) - weigh(backward));
  Object.assign(identity, turn < 0 ? other : one);
  // Many rows at the beginning at once are more likely to be older ones that were loaded.
  if (turn < 0 && !identity.index && backward.fresh.length > 3) return { fresh: [], isUnsure: true, turn: 0 };
  return { ...(turn < 0 ? backward : forward), turn: identity.index ? 0 : turn };
};
