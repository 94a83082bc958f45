// Plays the chat of a show again, faster if wanted.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';
import type { Report } from '../data/report';
import type { Line } from '../lib/feed';
import { position } from '../lib/format';
import { shownAt, timeline } from '../lib/replay';
import { isQuestion } from '../lib/rows';
import { t } from '../texts';
import { ChatLine } from './ChatLine';
import { Icon } from './Icon';

const SPEEDS = [1, 4, 16, 64];
const SHOWN = 120;

export function Replay({ report }: { report: Report }) {
  const { version } = report.changed;
  const lines = useMemo(() => report.lines.map((line): Line => {
    const verdict = report.verdicts.get(line.id);
    return {
      ...line, role: 'viewer', isStored: true, confidence: verdict?.confidence ?? null,
      isBuyer: verdict?.captured ?? false, isQuestion: verdict ? isQuestion(verdict.message_type) : false,
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }), [report, version]);
  const moments = useMemo(() => timeline(lines), [lines]);
  const end = moments[moments.length - 1] ?? 0;
  const [now, setNow] = useState(0);
  const [speed, setSpeed] = useState(4);
  const [isPlaying, setPlaying] = useState(false);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!isPlaying) return;
    let last = performance.now();
    let frame = requestAnimationFrame(function step(at) {
      const passed = (at - last) * speed;
      last = at;
      setNow((was) => Math.min(end, was + passed));
      frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [isPlaying, speed, end]);
  useEffect(() => {
    if (now >= end && end > 0) setPlaying(false);
  }, [now, end]);

  const until = shownAt(moments, now);
  const shown = lines.slice(Math.max(0, until - SHOWN), until);
  useLayoutEffect(() => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [until]);

  if (lines.length === 0) return <p className="muted">{report.isLoaded ? t.replay.none : t.numbers.loading}</p>;
  const toggle = () => {
    if (now >= end) setNow(0);
    setPlaying(!isPlaying);
  };
  return (
    <section className="replay" aria-label={t.replay.label}>
      <div className="replay-bar">
        <button type="button" className="button primary" onClick={toggle}>
          <Icon name={isPlaying ? 'pause' : 'play'} />{isPlaying ? t.replay.pause : t.replay.play}
        </button>
        <input
          type="range" min={0} max={Math.max(1, Math.round(end))} step={1000} value={Math.round(now)} aria-label={t.replay.position}
          aria-valuetext={t.replay.of(position(now), position(end))} onChange={(event) => setNow(Number(event.target.value))}
        />
        <span className="replay-time">{position(now)} / {position(end)}</span>
        <div className="segments" role="group" aria-label={t.replay.speed}>
          {SPEEDS.map((each) => (
            <button key={each} type="button" aria-pressed={speed === each} onClick={() => setSpeed(each)}>{each}×</button>
          ))}
        </div>
      </div>
      <p className="muted small">{t.replay.silences}</p>
      <div ref={box} className="feed replay-feed" role="log" aria-live="off" aria-label={t.replay.label} tabIndex={0}>
        <ol className="lines">{shown.map((line) => <ChatLine key={line.id} line={line} />)}</ol>
      </div>
    </section>
  );
}
