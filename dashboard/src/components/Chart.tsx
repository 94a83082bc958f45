// A picture by uPlot, with a table of the same numbers for whoever cannot see it.
import { useEffect, useRef, useSyncExternalStore } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { count, dateTime } from '../lib/format';
import { t } from '../texts';
import { useTopic, useUi } from './hooks';

export interface Column {
  label: string;
  values: number[];
  color: string; // name of a CSS variable
  kind: 'line' | 'bars' | 'area';
  axis?: 'y' | 'right';
  told?: number[]; // what the legend says, where it is not what is drawn (stacked)
  format?: (value: number) => string;
}

export interface Picture {
  title: string;
  x: number[];
  isTime: boolean;
  xFormat?: (x: number) => string;
  columns: Column[];
  xLabel: string;
  marker?: number; // a line across, at this x
}

const HEIGHT = 220;
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const subscribeDark = (listener: () => void) => {
  dark.addEventListener('change', listener);
  return () => dark.removeEventListener('change', listener);
};

// What is drawn in a canvas does not follow style sheets.
function useThemeKey(): string {
  const ui = useUi();
  useTopic(ui.changed);
  const isDark = useSyncExternalStore(subscribeDark, () => dark.matches);
  return `${ui.theme} ${isDark}`;
}

export function Chart({ picture }: { picture: Picture }) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const theme = useThemeKey();
  const shape = picture.columns.map((each) => `${each.label} ${each.kind}`).join(',');
  const now = useRef(picture);
  now.current = picture;

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const made = new uPlot(options(now, element), table(now.current), element);
    plot.current = made;
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: HEIGHT });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [theme, shape]);

  useEffect(() => {
    plot.current?.setData(table(picture));
  }, [picture]);

  const xText = picture.xFormat ?? ((x: number) => dateTime(x * 1000));
  return (
    <figure className="chart">
      <figcaption>{picture.title}</figcaption>
      <div ref={frame} aria-hidden="true" />
      <details>
        <summary>{t.numbers.table}</summary>
        <div className="table-frame" tabIndex={0} role="region" aria-label={t.numbers.tableCaption(picture.title)}>
          <table>
            <thead>
              <tr>
                <th scope="col">{picture.xLabel}</th>
                {picture.columns.map((each) => <th scope="col" key={each.label}>{each.label}</th>)}
              </tr>
            </thead>
            <tbody>
              {picture.x.map((x, i) => (
                <tr key={x}>
                  <th scope="row">{xText(x)}</th>
                  {picture.columns.map((each) => <td key={each.label}>{(each.format ?? count)((each.told ?? each.values)[i] ?? 0)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  );
}

const table = (picture: Picture): uPlot.AlignedData => [picture.x, ...picture.columns.map((each) => each.values)];

function options(now: { current: Picture }, element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element);
  const color = (name: string) => style.getPropertyValue(name).trim() || '#888';
  // Opaque: stacked areas cover each other.
  const soft = (name: string) => `color-mix(in srgb, ${color(name)} 30%, ${color('--panel')})`;
  const picture = now.current;
  const axis = { stroke: color('--muted'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: '12px system-ui, sans-serif' };
  const hasRight = picture.columns.some((each) => each.axis === 'right');
  const money = picture.columns.find((each) => each.axis === 'right')?.format ?? count;
  return {
    width: Math.max(200, element.clientWidth),
    height: HEIGHT,
    padding: [12, hasRight ? 4 : 30, 0, 0],
    legend: { live: true },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: { time: picture.isTime, range: (_u, min, max) => room(min, max, now.current) },
      y: { range: (_u, _min, max) => [0, Math.max(1, max * 1.08)] },
      right: { range: (_u, _min, max) => [0, Math.max(1, max * 1.08)] },
    },
    axes: [
      { ...axis, size: 32, space: 76, grid: { show: false }, ...(picture.isTime ? { values: timeLabels } : { values: (_u, xs) => xs.map((x) => (now.current.xFormat ?? String)(x)) }) },
      { ...axis, size: 46, values: (_u, ys) => ys.map((y) => (Number.isInteger(y) ? count(y) : '')) },
      ...(hasRight ? [{ ...axis, scale: 'right', side: 1 as const, size: 60, grid: { show: false }, values: (_u: uPlot, ys: number[]) => ys.map(money) }] : []),
    ],
    series: [
      { label: picture.xLabel, value: (_u, x) => (x === null ? '' : (now.current.xFormat ?? ((s: number) => dateTime(s * 1000)))(x)) },
      ...picture.columns.map((each, i): uPlot.Series => ({
        label: each.label,
        scale: each.axis === 'right' ? 'right' : 'y',
        stroke: color(each.color),
        width: each.kind === 'bars' ? 0 : 2,
        fill: each.kind === 'line' ? undefined : each.kind === 'bars' ? color(each.color) : soft(each.color),
        points: { show: each.kind !== 'bars' && picture.x.length === 1 },
        ...(each.kind === 'bars' && uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.76, 44], radius: 0.15 }) } : {}),
        value: (_u, _v, _series, place) => {
          const column = now.current.columns[i];
          const value = place === null ? undefined : (column?.told ?? column?.values)?.[place];
          return value === undefined ? '–' : (each.format ?? count)(value);
        },
      })),
    ],
    hooks: {
      draw: [
        (u) => {
          const { marker } = now.current;
          if (marker === undefined) return;
          const x = u.valToPos(marker, 'x', true);
          u.ctx.save();
          u.ctx.strokeStyle = color('--text');
          u.ctx.setLineDash([5, 4]);
          u.ctx.lineWidth = 1.5 * devicePixelRatio;
          u.ctx.beginPath();
          u.ctx.moveTo(x, u.bbox.top);
          u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
          u.ctx.stroke();
          u.ctx.restore();
        },
      ],
    },
  };
}

// Bars need half of their width beside the first and the last; one bucket alone gets a minute.
function room(min: number, max: number, picture: Picture): [number, number] {
  if (!Number.isFinite(min) || !Number.isFinite(max)) return [0, 1];
  if (max <= min) return picture.isTime ? [min - 30, max + 30] : [min - 1, max + 1];
  const hasBars = picture.columns.some((each) => each.kind === 'bars');
  const step = picture.x.length > 1 ? (picture.x[1] as number) - (picture.x[0] as number) : 0;
  return hasBars ? [min - step * 0.6, max + step * 0.6] : [min, max];
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const seconds = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

function timeLabels(_u: uPlot, xs: number[]): string[] {
  const isClose = xs.length > 1 && (xs[1] as number) - (xs[0] as number) < 60;
  return xs.map((x) => (isClose ? seconds : clock).format(x * 1000));
}
