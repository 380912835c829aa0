import 'uplot/dist/uPlot.min.css';
import './picture.css';
import { Button, useComputedColorScheme } from '@mantine/core';
import { useEffect, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import { formatCount, formatNumber } from '../../lib/format';
import { useWidth } from '../../lib/use-width';
import { type ChartProps } from './chart';
import { align, downsample, smooth } from './series';

type Range = [from: number, to: number];

/** Distances of marks of steps, which are whole. */
const wholeSteps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((one) => one * 10 ** power)).flat();

/** The last of values that is a number. */
function lastOf(values: ArrayLike<number | null | undefined>): number | null {
  let at = values.length - 1;
  while (at >= 0 && !Number.isFinite(values[at])) at--;
  return values[at] ?? null;
}

/** What the legend says of a line: what is under the cursor, or without one the last that is drawn. */
const legendValue =
  (format: (value: number | null) => string): uPlot.Series.Value =>
  (plot, value, line, index) =>
    format(index === null ? lastOf(plot.data[line] ?? []) : value);

/** What `Chart` shows. As many points are drawn as there are pixels, of the stretch that is shown: zooming in brings the others back. */
export default function Picture({
  lines,
  height = 240,
  isLog = false,
  smoothing = 0,
  xLabel = 'step',
}: ChartProps) {
  const { ref, width } = useWidth();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [zoom, setZoom] = useState<Range | null>(null);
  const scheme = useComputedColorScheme('light');

  const smoothed = useMemo(
    () => lines.map((line) => ({ x: line.x, y: line.isExact ? line.y : smooth(line.y, smoothing) })),
    [lines, smoothing],
  );
  const whole: Range = useMemo(() => {
    const ends = lines.flatMap(({ x }) =>
      x.length === 0 ? [] : [x[0] as number, x[x.length - 1] as number],
    );
    const [from, to] = ends.length === 0 ? [0, 1] : [Math.min(...ends), Math.max(...ends)];
    return [from, to > from ? to : from + 1];
  }, [lines]);
  const [from, to] = zoom ?? whole;
  const data = useMemo(() => {
    const positive = (y: ArrayLike<number>) =>
      isLog ? Array.from(y, (value) => (value > 0 ? value : NaN)) : y;
    const buckets = Math.max(100, Math.round(width));
    return align(
      smoothed.map(({ x, y }) => downsample({ x, y: positive(y) }, from, to, buckets)),
    ) as uPlot.AlignedData;
  }, [smoothed, from, to, width, isLog]);
  const latest = useRef({ data, from, to });

  // What the picture is made of; only what it shows is changed in place.
  const look = lines
    .map(({ label, color, isDashed, isExact }) => [label, color, isDashed, isExact].join('|'))
    .join('\n');
  const hasWidth = width > 0;
  useEffect(() => {
    if (host.current === null || !hasWidth) return;
    const text = scheme === 'dark' ? '#c9c9c9' : '#495057';
    const grid = { stroke: scheme === 'dark' ? '#3b3b3b' : '#e9ecef', width: 1 };
    const axis = { stroke: text, grid, ticks: grid, font: '12px system-ui, sans-serif' };
    const options: uPlot.Options = {
      width: host.current.clientWidth,
      height,
      scales: { x: { time: false }, y: { distr: isLog ? 3 : 1 } },
      axes: [
        { ...axis, space: 50, incrs: wholeSteps },
        { ...axis, size: 58, values: (_plot, values) => values.map((value) => formatNumber(value, 3)) },
      ],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
      legend: { live: true },
      series: [
        { label: xLabel, value: legendValue((step) => (step === null ? '–' : formatCount(step))) },
        ...look.split('\n').map((one) => {
          const [label = '', color, isDashed, isExact] = one.split('|');
          return {
            label,
            stroke: color,
            width: 1.6,
            dash: isDashed === 'true' ? [6, 4] : undefined,
            // Lines have x of their own: what is null belongs to another.
            spanGaps: true,
            points: { show: isExact === 'true', size: 6 },
            value: legendValue(formatNumber),
          };
        }),
      ],
      hooks: {
        setSelect: [
          (own) => {
            if (own.select.width < 4) return;
            const begin = own.posToVal(own.select.left, 'x');
            const end = own.posToVal(own.select.left + own.select.width, 'x');
            own.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            setZoom([begin, end]);
          },
        ],
      },
    };
    const made = new uPlot(options, latest.current.data, host.current);
    made.setScale('x', { min: latest.current.from, max: latest.current.to });
    made.over.addEventListener('dblclick', () => setZoom(null));
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [look, height, isLog, xLabel, scheme, hasWidth]);

  useEffect(() => {
    latest.current = { data, from, to };
    plot.current?.batch(() => {
      plot.current?.setData(data, true);
      plot.current?.setScale('x', { min: from, max: to });
    });
  }, [data, from, to]);

  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width, height]);

  return (
    <div ref={ref} className="chart">
      <div ref={host} />
      {zoom !== null && (
        <Button className="chart-whole" size="compact-xs" variant="default" onClick={() => setZoom(null)}>
          Show all
        </Button>
      )}
    </div>
  );
}
