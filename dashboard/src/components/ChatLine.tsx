import { memo } from 'react';
import type { Line } from '../lib/feed';
import { percent, timeOfDay } from '../lib/format';
import { t } from '../texts';

// A name keeps its colour: the eye follows a talker through the chat.
function hueOf(name: string): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) | 0;
  return Math.abs(hash) % 12;
}

export const ChatLine = memo(function ChatLine({ line }: { line: Line }) {
  const kind = line.isBuyer ? ' buyer' : line.isQuestion ? ' question' : '';
  return (
    <li className={`line${kind}`} data-id={line.id} data-stored={line.isStored}>
      <time dateTime={new Date(line.at).toISOString()}>{timeOfDay(line.at)}</time>
      <p>
        <b className={`hue-${hueOf(line.user)}`}>{line.user}</b>
        {line.role !== 'viewer' && <span className="tag role">{line.role === 'host' ? t.feed.host : t.feed.moderator}</span>}
        <span className="line-text">{line.text}</span>
      </p>
      {line.isQuestion && <span className="tag question">{t.feed.question}</span>}
      {line.isBuyer && (
        <span className="tag buyer">
          {t.feed.buyer}{line.confidence !== null && <span title={t.feed.sure(percent(line.confidence))}> {percent(line.confidence)}</span>}
        </span>
      )}
    </li>
  );
});
