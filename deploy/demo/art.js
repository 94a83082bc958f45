// deploy/demo/art.js - the drawings of the lots, as SVG. `currentColor` is the colour of the thing.
const shade = 'fill="#000" fill-opacity=".18"';
const light = 'fill="#fff" fill-opacity=".22"';
const line = 'fill="none" stroke="#000" stroke-opacity=".35" stroke-width="2" stroke-linecap="round"';

const drawings = {
  jacket: `<path fill="currentColor" d="M70 34 92 24h16l22 10 30 20 14 62-22 6-10-34v88H58V88l-10 34-22-6 14-62z"/>
    <path ${shade} d="M100 40v136h42V88l10 34 22-6-14-62-30-20-22-10z"/><path ${light} d="M92 24h16l-8 20z"/>
    <path ${line} d="M100 44v132M72 132h18M110 132h18M70 96h20M110 96h20"/><circle cx="95" cy="70" r="2.5"/><circle cx="95" cy="110" r="2.5"/><circle cx="95" cy="148" r="2.5"/>`,
  shirt: `<path fill="currentColor" d="M74 40c10 12 42 12 52 0l26 12 18 40-22 12-8-16v88H60V88l-8 16-22-12 18-40z"/>
    <path ${shade} d="M100 49c10 0 20-3 26-9l26 12 18 40-22 12-8-16v88h-40z"/><path ${light} d="M60 106h80v14H60zM60 134h80v14H60z"/>`,
  shoe: `<path fill="currentColor" d="M22 86c14 6 30 4 42-8l16-18 34 26c14 10 30 14 50 18 12 2 18 10 18 24H26c-6-14-8-28-4-42z"/>
    <path ${shade} d="M22 86c14 6 30 4 42-8l8-9c-4 22-18 34-48 36z"/><path fill="#fff" d="M24 128h158c2 12-2 20-10 20H36c-8 0-12-8-12-20z"/>
    <path ${line} d="m84 66 14-8M92 73l14-8M101 80l14-8M110 87l14-7"/><path ${light} d="M66 108c30 4 60 6 96 4l4 8H58z"/>`,
  boot: `<path fill="currentColor" d="M62 30h58v66c0 10 8 16 22 20 20 6 30 10 30 26H54c-4-30 8-60 8-112z"/>
    <path ${shade} d="M62 30h20c0 50-10 82-8 112H54c-4-30 8-60 8-112z"/><path fill="#2a1d16" d="M50 142h124v16h-64v-4H90v8H50z"/>
    <path ${line} d="M96 48h22M96 60h22M96 72h22M98 84h22M104 96h20"/><path ${light} d="M128 112c18 6 34 8 38 20h-48c-4-10 2-16 10-20z"/>`,
  camera: `<rect fill="#22262e" x="28" y="66" width="144" height="84" rx="10"/><path fill="currentColor" d="M28 66h144v22H28zM70 52h60l8 14H62z"/>
    <circle cx="100" cy="112" r="34" fill="#0c0e12"/><circle cx="100" cy="112" r="26" fill="#2d3850"/><circle cx="100" cy="112" r="14" fill="#101521"/>
    <circle ${light} cx="92" cy="103" r="7"/><rect fill="#fff" fill-opacity=".8" x="140" y="72" width="20" height="10" rx="2"/><circle cx="44" cy="60" r="7" fill="#c9ccd3"/>`,
  record: `<rect fill="currentColor" x="26" y="40" width="112" height="120" rx="3"/><path ${shade} d="M26 120c40-40 70 20 112-30v70H26z"/>
    <circle ${light} cx="62" cy="76" r="20"/><circle cx="128" cy="100" r="52" fill="#101114"/><circle cx="128" cy="100" r="40" ${line}/><circle cx="128" cy="100" r="30" ${line}/>
    <circle cx="128" cy="100" r="18" fill="currentColor"/><circle cx="128" cy="100" r="4" fill="#fff"/>`,
  bag: `<path fill="none" stroke="currentColor" stroke-width="9" d="M66 84c0-52 68-52 68 0"/><path fill="currentColor" d="M38 78h124l10 90H28z"/>
    <path ${shade} d="M100 78h62l10 90h-72z"/><path ${light} d="M38 78h124l2 20H36z"/><path ${line} d="M42 112h116"/><rect x="88" y="104" width="24" height="18" rx="3" fill="#e2b04a"/>`,
  watch: `<path fill="#6b4a2f" d="M82 18h36l6 44H76zM76 138h48l-6 44H82z"/><circle cx="100" cy="100" r="46" fill="#c9ccd3"/><circle cx="100" cy="100" r="38" fill="currentColor"/>
    <circle cx="100" cy="100" r="38" ${light}/><path stroke="#111" stroke-width="4" stroke-linecap="round" d="M100 100V74M100 100l18 12"/>
    <path stroke="#111" stroke-width="3" d="M100 66v6M100 128v6M66 100h6M128 100h6"/><rect x="146" y="95" width="8" height="10" rx="2" fill="#a7abb3"/>`,
  pot: `<path fill="currentColor" d="M62 70h72l8 92H54z"/><path ${shade} d="M98 70h36l8 92H98z"/><path fill="none" stroke="currentColor" stroke-width="10" d="M136 88c34 0 34 48 4 48"/>
    <path fill="currentColor" d="M60 92 32 74l-4 10 30 40zM70 70c0-22 56-22 56 0z"/><circle cx="98" cy="48" r="8" fill="currentColor"/><path ${light} d="M66 80h18l-2 74H60z"/>`,
  card: `<rect x="54" y="26" width="92" height="148" rx="8" fill="#f4f1e8"/><rect x="62" y="34" width="76" height="84" rx="4" fill="currentColor"/>
    <path ${light} d="m62 104 76-66v-4H92L62 60z"/><path fill="#fff" d="m100 46 9 20 22 2-17 14 6 22-20-12-20 12 6-22-17-14 22-2z"/>
    <path ${line} d="M66 132h68M66 144h52M66 156h60"/>`,
  lamp: `<path fill="currentColor" d="M70 44h60l24 56H46z"/><path ${shade} d="M100 44h30l24 56h-54z"/><path fill="#ffe9a8" d="M52 100h96l-8 10H60z"/>
    <rect x="95" y="104" width="10" height="52" fill="#8d7448"/><ellipse cx="100" cy="162" rx="38" ry="10" fill="currentColor"/><path fill="#ffe9a8" fill-opacity=".18" d="m60 110-34 60h148l-34-60z"/>`,
  cap: `<path fill="currentColor" d="M44 112c0-70 112-70 112 0z"/><path ${shade} d="M100 60c34 0 56 18 56 52h-56z"/><path fill="currentColor" d="M44 112h112c26 4 30 22 20 28-30-16-80-18-126-12-8-4-8-12-6-16z"/>
    <path ${shade} d="M44 112h112c26 4 30 22 20 28-30-16-80-18-126-12-8-4-8-12-6-16z"/><path ${line} d="M100 60v52M72 68c-8 12-10 28-10 44M128 68c8 12 10 28 10 44"/><circle cx="100" cy="59" r="5" fill="currentColor"/>`,
};

const colours = { olive: '#7d8450', natural: '#e5d9bd', sand: '#d3b583', silver: '#c3c8d1', blue: '#3f7ad6', burgundy: '#8d2f48', cream: '#f1e7cd', navy: '#33508f',
  teal: '#2f9a92', violet: '#8b5cf6', tan: '#bd8451', red: '#d9453f', black: '#4a4d57', brass: '#cf9f45', white: '#eef0f3', rust: '#b9532c', orange: '#ee8434', moss: '#6b7f4f',
  midnight: '#26407a', gold: '#e0b23d', forest: '#3c7150', slate: '#74828f', mint: '#86d4b6', chestnut: '#8a5334', coral: '#f2765f', mustard: '#d9a628', indigo: '#4753a8',
  graphite: '#6a6e78', cognac: '#a5602f', pink: '#ee86b3' };

export const drawing = (kind) => `<svg viewBox="0 0 200 200" aria-hidden="true">${drawings[kind] ?? drawings.bag}</svg>`;
export const colourOf = (name) => colours[name] ?? '#9aa3b5';
