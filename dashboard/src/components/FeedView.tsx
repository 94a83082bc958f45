// The chat of a stream. While it follows, it shows the newest lines that match, at most so many, and
// draws once a frame. Scrolled up it stands still: what is on the screen stays, older lines are put in
// front from memory and then from the database, newer ones are counted.
import { useCallback, useEffect, useImperativeHandle, useLayoutEffect, useMemo, useRef, useState, type Ref } from 'react';
import type { Stream } from '../data/monitor';
import { matcher, type Line, type LineFilter } from '../lib/feed';
import { lineOf } from '../lib/rows';
import { t } from '../texts';
import { ChatLine } from './ChatLine';
import { useMonitor, useTopic } from './hooks';
import { Icon } from './Icon';

const SHOWN = 120; // lines in the document while it follows
const PIECE = 100; // older lines put in front at once
const STILL_MAX = 1200; // lines in the document while it stands still
const AT_END_PX = 24;
const NEAR_TOP_PX = 160;

export interface FeedHandle {
  toggle: () => void;
}

interface Props {
  ref: Ref<FeedHandle>;
  stream: Stream;
  name: string;
  filter: LineFilter;
  search: string;
  onFollowing: (isFollowing: boolean) => void;
}

export function FeedView({ ref, stream, name, filter, search, onFollowing }: Props) {
  const { database } = useMonitor();
  useTopic(stream.chat);
  const box = useRef<HTMLDivElement>(null);
  const [still, setStill] = useState<Line[]>(); // the lines while it stands still
  const [isLoading, setLoading] = useState(false);
  const [isAtStart, setAtStart] = useState(false);
  const keep = useRef<number>(undefined); // distance to the end that the next drawing keeps
  const matches = useMemo(() => matcher(filter, search), [filter, search]);

  const isFollowing = still === undefined;
  // Lines that stand still learn what came to be known of them.
  const lines = still ? still.map((line) => stream.feed.get(line.id) ?? line) : stream.feed.newest(SHOWN, matches);
  const shown = useRef(lines);
  shown.current = lines;

  useEffect(() => onFollowing(isFollowing), [isFollowing, onFollowing]);
  // Another filter is another chat: from the end again.
  useEffect(() => {
    setStill(undefined);
    setAtStart(false);
  }, [matches]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (still === undefined) element.scrollTop = element.scrollHeight;
    else if (keep.current !== undefined) {
      element.scrollTop = element.scrollHeight - keep.current;
      keep.current = undefined;
    }
  });

  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      if (isFollowing) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [isFollowing]);

  const pause = useCallback(() => setStill((now) => now ?? shown.current), []);
  const follow = useCallback(() => {
    setStill(undefined);
    setAtStart(false);
  }, []);
  useImperativeHandle(ref, () => ({ toggle: () => (isFollowing ? pause() : follow()) }), [isFollowing, pause, follow]);

  const older = useCallback(async () => {
    const first = shown.current[0];
    if (!first || isLoading || isAtStart || shown.current.length >= STILL_MAX) return;
    const put = (found: Line[]) => {
      const element = box.current;
      if (element) keep.current = element.scrollHeight - element.scrollTop;
      setStill((now) => {
        const rest = now ?? shown.current;
        const known = new Set(rest.map((line) => line.id));
        return [...found.filter((line) => !known.has(line.id)), ...rest];
      });
    };
    const inMemory = stream.feed.newest(PIECE, matches, first);
    if (inMemory.length > 0) return put(inMemory);
    setLoading(true);
    try {
      // The database knows words, not questions: those are picked from what it gives.
      let before = first.at;
      for (let tries = 0; tries < 5; tries++) {
        const rows = await database.newestMessages(stream.id, PIECE * 2, before, search.trim().includes(' ') ? '' : search.trim());
        if (rows.length === 0) {
          setAtStart(true);
          return;
        }
        const verdicts = new Map((await database.verdicts(rows.map((row) => row.id))).map((row) => [row.message_id, row]));
        const found = rows.map((row) => lineOf(row, verdicts.get(row.id)));
        before = (found[0] as Line).at;
        const wanted = found.filter(matches);
        if (wanted.length > 0) return put(wanted);
      }
    } catch {
      // the lamps say that the database is away; scrolling again asks again
    } finally {
      setLoading(false);
    }
  }, [database, isAtStart, isLoading, matches, search, stream]);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const toEnd = element.scrollHeight - element.scrollTop - element.clientHeight;
    if (isFollowing && toEnd > AT_END_PX) pause();
    if (!isFollowing && element.scrollTop < NEAR_TOP_PX) void older();
  };

  const last = lines[lines.length - 1];
  const newer = still && last ? stream.feed.countAfter(last, matches) : 0;
  return (
    <div className="feed-frame">
      <div
        ref={box} className="feed" role="log" aria-live="off" aria-label={t.feed.label(name)} tabIndex={0} onScroll={onScroll}
        onWheel={(event) => {
          const element = box.current;
          if (event.deltaY < 0 && element && element.scrollHeight > element.clientHeight) pause();
        }}
      >
        {isLoading && <p className="feed-note">{t.feed.loading}</p>}
        {isAtStart && <p className="feed-note">{t.feed.start}</p>}
        {lines.length === 0 && <p className="feed-note">{stream.feed.size === 0 ? t.feed.empty : t.feed.nothing}</p>}
        <ol className="lines">
          {lines.map((line) => <ChatLine key={line.id} line={line} />)}
        </ol>
      </div>
      {!isFollowing && (
        <button type="button" className="button primary small to-live" onClick={follow}>
          <Icon name="down" />{t.feed.newer(newer)}
        </button>
      )}
    </div>
  );
}
