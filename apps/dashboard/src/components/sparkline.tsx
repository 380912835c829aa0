import { formatNumber } from '../lib/format';

interface SparklineProps {
  label: string;
  y: number[];
  width?: number;
  height?: number;
}

/** A small line without axes. */
export function Sparkline({ label, y, width = 120, height = 28 }: SparklineProps) {
  const numbers = y.filter(Number.isFinite);
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  const at = (value: number, i: number) =>
    `${((i / Math.max(1, numbers.length - 1)) * (width - 4) + 2).toFixed(1)},${(
      height -
      3 -
      ((value - low) / (high - low || 1)) * (height - 6)
    ).toFixed(1)}`;
  const last = numbers.at(-1);
  return (
    <svg
      width={width}
      height={height}
      role="img"
      aria-label={last === undefined ? `${label}: nothing yet` : `${label}: now ${formatNumber(last)}`}
      style={{ display: 'block', flex: 'none' }}
    >
      {numbers.length > 1 && (
        <polyline
          points={numbers.map(at).join(' ')}
          fill="none"
          stroke="var(--mantine-color-anchor)"
          strokeWidth={1.5}
        />
      )}
    </svg>
  );
}
