// A thing that components look at. Many touches within a frame are one notice, so that fifty chat
// lines a second cost at most one drawing each frame.

const waiting = new Set<Topic>();
let isPlanned = false;

function flush(): void {
  isPlanned = false;
  const now = [...waiting];
  waiting.clear();
  for (const topic of now) topic.tell();
}

function plan(): void {
  if (isPlanned) return;
  isPlanned = true;
  // A page in the background gets no frames.
  if (document.hidden) setTimeout(flush, 250);
  else requestAnimationFrame(flush);
}

export class Topic {
  version = 0;
  private isTouched = false;
  private readonly listeners = new Set<() => void>();

  // everyMs: tell no more often than that; 0: once a frame.
  constructor(private readonly everyMs = 0) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): number => this.version;

  touch(): void {
    if (this.isTouched) return;
    this.isTouched = true;
    if (this.everyMs > 0) setTimeout(() => this.tell(), this.everyMs);
    else {
      waiting.add(this);
      plan();
    }
  }

  tell(): void {
    this.isTouched = false;
    this.version++;
    for (const listener of this.listeners) listener();
  }
}

// A frame that was asked for before the page went into the background does not come.
if (typeof document !== 'undefined') {
  document.addEventListener('visibilitychange', () => {
    if (document.hidden && isPlanned) setTimeout(flush, 0);
  });
}
