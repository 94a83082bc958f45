// What belongs to this window and not to the data: theme, sound, toasts, what is spoken.
import type { Alert } from '../lib/alerts';
import { recall, remember } from '../lib/local';
import { Topic } from '../lib/topic';
import { t } from '../texts';
import { beep, unlockSound } from './sound';

export type Theme = 'system' | 'dark' | 'light';

// One at a time: in a busy chat it counts instead of covering the page.
export interface Toast {
  alert: Alert; // the latest
  more: number; // others since it came up
}

const TOAST_MS = 8000;
const QUIET_MS = 30_000; // after somebody dismissed one
const SPEAK_EVERY_MS = 5000; // a burst of buyers is one sentence

export class Ui {
  readonly changed = new Topic();
  readonly toastsChanged = new Topic();
  theme: Theme = (recall('theme') as Theme | undefined) ?? 'system';
  isSoundOn = recall('sound') !== 'off';
  hasShortcuts = recall('shortcuts') !== 'off';
  toast: Toast | undefined;
  isToastHeld = false; // pointer or focus is on it
  private quietUntil = 0;
  private toastTimer: ReturnType<typeof setTimeout> | undefined;
  spoken = '';
  private unspoken: Alert[] = [];
  private speaksAt = 0;
  onSound: (isOn: boolean) => void = () => {};

  setTheme(theme: Theme): void {
    this.theme = theme;
    remember('theme', theme === 'system' ? undefined : theme);
    if (theme === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    this.changed.touch();
  }

  setSound(isOn: boolean, isTold = true): void {
    this.isSoundOn = isOn;
    remember('sound', isOn ? undefined : 'off');
    if (isOn && isTold) {
      unlockSound();
      beep();
    }
    if (isTold) this.onSound(isOn);
    this.changed.touch();
  }

  setShortcuts(areOn: boolean): void {
    this.hasShortcuts = areOn;
    remember('shortcuts', areOn ? undefined : 'off');
    this.changed.touch();
  }

  announce(alert: Alert): void {
    if (Date.now() >= this.quietUntil) {
      this.toast = { alert, more: this.toast ? this.toast.more + 1 : 0 };
      this.keepToast();
    }
    this.toastsChanged.touch();
    if (this.isSoundOn) beep();
    this.unspoken.push(alert);
    if (this.unspoken.length === 1) setTimeout(() => this.speak(), Math.max(0, this.speaksAt - Date.now()));
  }

  private keepToast(): void {
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => (this.isToastHeld ? this.keepToast() : this.drop()), TOAST_MS);
  }

  dismiss(): void {
    this.quietUntil = Date.now() + QUIET_MS;
    this.drop();
  }

  private drop(): void {
    clearTimeout(this.toastTimer);
    this.toast = undefined;
    this.isToastHeld = false;
    this.toastsChanged.touch();
  }

  private speak(): void {
    const latest = this.unspoken[this.unspoken.length - 1];
    if (!latest) return;
    this.spoken = t.toast.spoken(this.unspoken.length, latest.user);
    this.unspoken = [];
    this.speaksAt = Date.now() + SPEAK_EVERY_MS;
    this.toastsChanged.touch();
  }
}
