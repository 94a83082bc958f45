// What this browser remembers. Storage may be forbidden or full: then it is forgotten with the page.

const memory = new Map<string, string>();

export function recall(key: string): string | undefined {
  try {
    return localStorage.getItem(`dealflow.${key}`) ?? undefined;
  } catch {
    return memory.get(key);
  }
}

export function remember(key: string, value: string | undefined): void {
  if (value === undefined) memory.delete(key);
  else memory.set(key, value);
  try {
    if (value === undefined) localStorage.removeItem(`dealflow.${key}`);
    else localStorage.setItem(`dealflow.${key}`, value);
  } catch {
    // kept in memory
  }
}

export function recallJson<T>(key: string, otherwise: T): T {
  try {
    const text = recall(key);
    return text === undefined ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}
