import { createContext, useContext, useEffect, useSyncExternalStore } from 'react';
import type { Monitor } from '../data/monitor';
import type { Topic } from '../lib/topic';
import type { Ui } from './ui';

// Draws again when the topic tells.
export function useTopic(topic: Topic): number {
  return useSyncExternalStore(topic.subscribe, topic.snapshot);
}

export const MonitorContext = createContext<Monitor | undefined>(undefined);
export const UiContext = createContext<Ui | undefined>(undefined);

export function useMonitor(): Monitor {
  const monitor = useContext(MonitorContext);
  if (!monitor) throw new Error('no monitor above this component');
  return monitor;
}

export function useUi(): Ui {
  const ui = useContext(UiContext);
  if (!ui) throw new Error('no ui above this component');
  return ui;
}

const subscribeHash = (listener: () => void) => {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
};

// The part of the address behind #/, in pieces.
export function useRoute(): string[] {
  const hash = useSyncExternalStore(subscribeHash, () => location.hash);
  return hash.replace(/^#\/?/, '').split('/').filter(Boolean);
}

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

// Calls back every so often while the component is there.
export function useEvery(ms: number, act: () => void): void {
  useEffect(() => {
    const timer = setInterval(act, ms);
    return () => clearInterval(timer);
  }, [ms, act]);
}

// Single keys; said to whoever is on the page.
export type Command = 'address' | 'search' | 'pause' | 'buyers' | 'sound' | 'help';

export function say(command: Command): void {
  window.dispatchEvent(new CustomEvent('dealflow-command', { detail: command }));
}

export function useCommand(command: Command, act: () => void): void {
  useEffect(() => {
    const listener = (event: Event) => {
      if ((event as CustomEvent).detail === command) act();
    };
    window.addEventListener('dealflow-command', listener);
    return () => window.removeEventListener('dealflow-command', listener);
  }, [command, act]);
}
