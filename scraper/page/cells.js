// scraper/page/cells.js - the rows of the list that is watched (`list`, see observer.js) as cells, which
// sequence.js compares: read once, and again when something in them has changed.

const numberIn = (element) => {
  for (const name of rules.row_index_attributes) {
    const value = element.getAttribute(name);
    if (value && /^-?\d{1,15}$/.test(value)) return Number(value);
  }
  return null;
};

const idIn = (element) => {
  for (const name of rules.row_id_attributes) {
    const value = element.getAttribute(name);
    if (value) return `${name}=${value}`;
  }
  return null;
};

const fillCell = (cell, line) => {
  cell.line = line;
  cell.name = line.name;
  cell.sig = line.text !== '' && !line.isNameless ? `${line.name}\0${collapse(line.text)}` : null;
  return cell;
};

const newCell = (element, line, old) => fillCell({ element, born: now(), filledAt: 0, isTaken: false, isSeen: false, old }, line);

const watchShadow = (root) => {
  if (list.shadows.has(root)) return;
  list.shadows.add(root);
  list.observer.observe(root, WATCH);
};

// Reads an element again. A row that fills up stays the same row, one that says something else is
// another one.
const refresh = (element, cell) => {
  const line = readRow(element, list.learning, list.onShadow);
  if (!cell) return newCell(element, line, null);
  const next = fillCell({}, line);
  if (next.sig === cell.sig) {
    cell.line = line; // a badge may have come
    cell.old = null;
    if (cell.sig === null && !cell.isTaken) cell.filledAt = 0;
    return cell;
  }
  if (cell.sig !== null) return newCell(element, line, cell);
  fillCell(cell, line);
  cell.filledAt = list.filledAt = now();
  if (cell.isMissed && now() > list.settleUntil) list.late.push(cell); // else the next snapshot has it
  return cell;
};

const readCells = (isAll) => {
  let elements = rowsOf(list.container, list.depth);
  if (elements.length > ROWS_MAX) elements = list.turn < 0 ? elements.slice(0, ROWS_MAX) : elements.slice(-ROWS_MAX);
  const cells = elements.filter((element) => !element.matches(SKIP)).map((element) => {
    let cell = list.byElement.get(element);
    if (!cell || isAll || list.dirty.has(element)) {
      cell = refresh(element, cell);
      list.byElement.set(element, cell);
    } else {
      cell.old = null;
    }
    cell.was = cell.isSeen ? { index: cell.index, id: cell.id } : null;
    cell.isSeen = true;
    const inner = element.firstElementChild;
    cell.index = numberIn(element) ?? (inner ? numberIn(inner) : null);
    cell.id = idIn(element) ?? (inner ? idIn(inner) : null);
    return cell;
  });
  list.dirty.clear();
  if (list.isPlaced) {
    const tops = new Map(cells.map((cell) => [cell, cell.element.getBoundingClientRect().top]));
    cells.sort((a, b) => tops.get(a) - tops.get(b));
  }
  return list.turn < 0 ? cells.reverse() : cells;
};

// How long a row must be waited for: an empty one may fill up, one that just has may not be complete.
const waitFor = (cell) => {
  const left = cell.born + LATE_MS - now();
  if (cell.sig === null) return Math.max(0, left);
  return cell.filledAt > 0 ? Math.max(0, Math.min(left, cell.filledAt + STABLE_MS - now())) : 0;
};

const isFilling = (cells) => cells.some((cell) => cell.sig === null && (cell.name !== '' || waitFor(cell) > 0));
