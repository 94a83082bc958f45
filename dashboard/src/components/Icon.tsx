const paths = {
  live: 'M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM7 7a7 7 0 0 0 0 10M17 7a7 7 0 0 1 0 10M4 4a11.3 11.3 0 0 0 0 16M20 4a11.3 11.3 0 0 1 0 16',
  buyers: 'M4 5h2l2.2 10.4a1.5 1.5 0 0 0 1.5 1.1h7.7a1.5 1.5 0 0 0 1.5-1.2L20.5 8H7M10 20.5h.01M17 20.5h.01',
  numbers: 'M4 20V10M10 20V4M16 20v-8M22 20H2',
  past: 'M12 7v5l3 2M3.5 9A9 9 0 1 1 3 12.5M3 4v5h5',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.400M17.6 17.6 19 19M5 19l1.4-1.400M17.6 6.4 19 5',
  moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5Z',
  system: 'M4 5h16v11H4ZM9 20h6M12 16v4',
  sound: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5ZM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11',
  mute: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5ZM16 9.5l5 5M21 9.5l-5 5',
  stop: 'M7 7h10v10H7Z',
  close: 'M6 6l12 12M18 6 6 18',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  copy: 'M9 9h10v11H9ZM5 15V4h10',
  link: 'M14 5h5v5M19 5l-8 8M17 13v6H5V7h6',
  pause: 'M8 6v12M16 6v12',
  play: 'M8 5.5v13l10.5-6.5Z',
  down: 'M12 5v14M6 13l6 6 6-6',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l4.5 4.5',
  export: 'M12 4v11M7.5 10.5 12 15l4.5-4.5M5 19.5h14',
  keyboard: 'M3 6.5h18v11H3ZM7 10.5h.01M12 10.5h.01M17 10.5h.01M8 14h8',
  wand: 'M5 19 15.5 8.5M18 3v4M16 5h4M7 4v2.5M5.75 5.250h2.5M19 13v3M17.5 14.5h3',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16ZM12 8v4.200l2.7 1.6',
  again: 'M4.5 12a7.5 7.5 0 1 0 2.4-5.5L4 9M4 4.5V9h4.5',
  user: 'M12 4.5a3.8 3.8 0 1 0 0 7.6 3.8 3.8 0 0 0 0-7.600ZM4.5 20c.7-4 3.8-5.5 7.5-5.5s6.8 1.5 7.5 5.5',
} as const;

export type IconName = keyof typeof paths;

// Always beside a text, or inside a button that has a name of its own.
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" />
      <path d="M7 18.5h4l3-8 4.5 13 3-8 1.2 3H25" />
    </svg>
  );
}
