import { Text } from '@mantine/core';
import { formatNumber } from '../../lib/format';
import { useWidth } from '../../lib/use-width';
import { axisOf, type Run } from './runs';

const height = 300;
const [top, bottom] = [34, 22];

interface ParallelCoordinatesProps {
  runs: Run[];
  metric: 'loss' | 'accuracy';
  /** The run that is pointed at. */
  active: string | null;
  onActive: (id: string | null) => void;
}

/** A line a run over an axis a parameter and one for the result; the better the result, the stronger the colour. */
export function ParallelCoordinates({ runs, metric, active, onActive }: ParallelCoordinatesProps) {
  const { ref, width } = useWidth();
  const paths = [...new Set(runs.flatMap(({ parameters }) => Object.keys(parameters)))];
  const format = (value: number) => formatNumber(value, 3);
  const axes = [
    ...paths.map((path) => axisOf(path, runs, ({ parameters }) => parameters[path], format)),
    axisOf(metric === 'loss' ? 'held-out loss' : 'held-out accuracy', runs, (run) => run[metric], format),
  ];
  const least = axes.length * 110;
  const room = Math.max(width, least);
  const x = (i: number) => 60 + (i * (room - 120)) / Math.max(1, axes.length - 1);
  const y = (place: number) => height - bottom - place * (height - top - bottom);
  const result = axes.at(-1);
  const goodness = (run: Run) => {
    const place = result?.at(run) ?? null;
    return place === null ? null : metric === 'loss' ? 1 - place : place;
  };
  return (
    <div ref={ref} style={{ overflowX: 'auto' }} tabIndex={0} role="region" aria-label="Parallel coordinates">
      <svg
        width={room}
        height={height}
        role="img"
        aria-label={`${runs.length} runs over ${axes.map(({ label }) => label).join(', ')}; the table below has the same numbers`}
        style={{ display: 'block' }}
      >
        {runs.map((run) => {
          const points = axes.flatMap((axis, i) => {
            const place = axis.at(run);
            return place === null ? [] : [`${x(i).toFixed(1)},${y(place).toFixed(1)}`];
          });
          const good = goodness(run);
          const isActive = active === run.id;
          return (
            <polyline
              key={run.id}
              points={points.join(' ')}
              fill="none"
              stroke={
                isActive
                  ? '#d55e00'
                  : good === null
                    ? 'var(--mantine-color-dimmed)'
                    : 'var(--mantine-color-anchor)'
              }
              strokeWidth={isActive ? 3 : 1.6}
              strokeOpacity={isActive ? 1 : good === null ? 0.25 : 0.15 + 0.85 * good ** 2}
              strokeDasharray={good === null ? '4 4' : undefined}
              onMouseEnter={() => onActive(run.id)}
              onMouseLeave={() => onActive(null)}
            />
          );
        })}
        {axes.map(({ label, ticks }, i) => (
          <g key={label}>
            <line x1={x(i)} x2={x(i)} y1={y(0)} y2={y(1)} stroke="var(--lowrank-border)" strokeWidth={1.5} />
            <text
              x={x(i)}
              y={14}
              textAnchor="middle"
              fontSize={12}
              fontWeight={600}
              fill="var(--mantine-color-text)"
            >
              {label.length > 20 ? `…${label.slice(-19)}` : label}
            </text>
            {ticks.map(({ at, text }) => (
              <text
                key={text}
                x={x(i) + 6}
                y={y(at) + (at === 0 ? 14 : at === 1 ? -4 : 4)}
                fontSize={11}
                fill="var(--mantine-color-dimmed)"
              >
                {text}
              </text>
            ))}
          </g>
        ))}
      </svg>
      {width > 0 && width < least && (
        <Text size="xs" c="dimmed">
          Scroll to the side for more axes.
        </Text>
      )}
    </div>
  );
}
