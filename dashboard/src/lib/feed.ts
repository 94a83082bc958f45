// The chat of one stream as far as it is kept in memory: the newest lines, each once, in order of
// time, whether they came by the WebSocket, by the database, or by both.

export interface Line {
  readonly id: string; // of the message, everywhere the same
  readonly at: number; // epoch ms
  readonly user: string;
  readonly text: string;
  readonly role: string; // viewer, moderator, host
  readonly isBuyer: boolean;
  readonly isQuestion: boolean;
  readonly confidence: number | null; // null: no verdict yet
  readonly isStored: boolean; // the database has it
}

export type LineFilter = 'all' | 'buyers' | 'questions';

const TRIM_EVERY = 200; // lines are dropped in pieces: an array is not moved for each one

export class Feed {
  private lines: Line[] = [];
  private readonly byId = new Map<string, Line>();
  total = 0; // lines ever seen, the dropped ones too
  version = 0; // grows with every change

  constructor(readonly max = 2000) {}

  get size(): number {
    return this.lines.length;
  }

  get(id: string): Line | undefined {
    return this.byId.get(id);
  }

  // The newest line, or the newest that the database has.
  last(isStored = false): Line | undefined {
    for (let i = this.lines.length - 1; i >= 0; i--) {
      const line = this.lines[i];
      if (line && (!isStored || line.isStored)) return line;
    }
    return undefined;
  }

  first(): Line | undefined {
    return this.lines[0];
  }

  // True: it is new. A line that is there already learns what the other source knows.
  add(line: Line): boolean {
    const known = this.byId.get(line.id);
    if (known) {
      this.merge(known, line);
      return false;
    }
    // Older than everything kept, and there is no room: it lies in the database.
    const oldest = this.lines[0];
    if (oldest && this.lines.length >= this.max && line.at < oldest.at) return false;
    let place = this.lines.length;
    while (place > 0 && (this.lines[place - 1] as Line).at > line.at) place--;
    if (place === this.lines.length) this.lines.push(line);
    else this.lines.splice(place, 0, line);
    this.byId.set(line.id, line);
    this.total++;
    this.version++;
    if (this.lines.length > this.max + TRIM_EVERY) this.trim();
    return true;
  }

  // Says more about a line that is there.
  update(id: string, more: Partial<Omit<Line, 'id' | 'at'>>): void {
    const known = this.byId.get(id);
    if (known) this.replace(known, { ...known, ...more });
  }

  private merge(known: Line, other: Line): void {
    const knows = known.confidence !== null;
    const merged: Line = {
      ...known,
      isStored: known.isStored || other.isStored,
      isBuyer: known.isBuyer || other.isBuyer,
      isQuestion: known.isQuestion || other.isQuestion,
      confidence: knows ? known.confidence : other.confidence,
      role: known.role === 'viewer' ? other.role : known.role,
    };
    this.replace(known, merged);
  }

  private replace(known: Line, line: Line): void {
    const same =
      known.isStored === line.isStored && known.isBuyer === line.isBuyer && known.isQuestion === line.isQuestion &&
      known.confidence === line.confidence && known.role === line.role;
    if (same) return;
    const place = this.lines.lastIndexOf(known);
    if (place < 0) return;
    this.lines[place] = line;
    this.byId.set(line.id, line);
    this.version++;
  }

  private trim(): void {
    const gone = this.lines.splice(0, this.lines.length - this.max);
    for (const line of gone) this.byId.delete(line.id);
  }

  // The newest lines that match, oldest first; before: only lines in front of that one.
  newest(limit: number, matches: (line: Line) => boolean, before?: Line): Line[] {
    const out: Line[] = [];
    let i = this.lines.length - 1;
    if (before) while (i >= 0 && !isBefore(this.lines[i] as Line, before)) i--;
    for (; i >= 0 && out.length < limit; i--) {
      const line = this.lines[i] as Line;
      if (matches(line)) out.push(line);
    }
    return out.reverse();
  }

  // How many match and are newer than that line.
  countAfter(line: Line, matches: (line: Line) => boolean): number {
    let n = 0;
    for (let i = this.lines.length - 1; i >= 0; i--) {
      const each = this.lines[i] as Line;
      if (each.id === line.id || each.at < line.at) break;
      if (matches(each)) n++;
    }
    return n;
  }

  // Lines of the database that nobody judged for us yet.
  unjudged(limit: number): string[] {
    const out: string[] = [];
    for (let i = this.lines.length - 1; i >= 0 && out.length < limit; i--) {
      const line = this.lines[i] as Line;
      if (line.isStored && line.confidence === null) out.push(line.id);
    }
    return out;
  }
}

function isBefore(line: Line, other: Line): boolean {
  return line.at < other.at || (line.at === other.at && line.id < other.id);
}

// Words of the search have to be there, each of them, in the name or in the text.
export function matcher(filter: LineFilter, search: string): (line: Line) => boolean {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== '');
  return (line) => {
    if (filter === 'buyers' && !line.isBuyer) return false;
    if (filter === 'questions' && !line.isQuestion) return false;
    if (words.length === 0) return true;
    const text = `${line.user} ${line.text}`.toLowerCase();
    return words.every((word) => text.includes(word));
  };
}
