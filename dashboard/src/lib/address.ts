// The address of a show as a person types it, and what it tells.

const PLATFORMS = ['whatnot', 'tiktok', 'instagram', 'youtube', 'facebook'] as const;
export type Platform = (typeof PLATFORMS)[number];

// https is added where no scheme is; undefined when it is no address.
export function readAddress(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === '' || /\s/.test(trimmed)) return undefined;
  try {
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed) ? trimmed : `https://${trimmed}`);
    const isWeb = url.protocol === 'https:' || url.protocol === 'http:';
    return isWeb && (url.hostname.includes('.') || url.hostname === 'localhost') ? url.href : undefined;
  } catch {
    return undefined;
  }
}

export function platformOf(url: string): Platform {
  let host = '';
  try {
    host = new URL(url).hostname;
  } catch {
    // whatnot, as the tables have it
  }
  return PLATFORMS.find((name) => host === `${name}.com` || host.endsWith(`.${name}.com`)) ?? 'whatnot';
}

// What to call a show whose title nobody knows.
export function showName(url: string): string {
  try {
    const { hostname, pathname } = new URL(url);
    const last = decodeURIComponent(pathname.split('/').filter(Boolean).pop() ?? '');
    return last === '' ? hostname : last;
  } catch {
    return url;
  }
}
