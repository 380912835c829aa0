import { Box, Skeleton } from '@mantine/core';
import { lazy, Suspense } from 'react';
import { formatNumber } from '../../lib/format';
import { type Points } from './series';

export interface Line extends Points {
  label: string;
  color: string;
  /** Drawn as it is, beside lines that are smoothed: few points, each of which counts. */
  isExact?: boolean;
  isDashed?: boolean;
}

export interface ChartProps {
  /** What is shown, for screen readers and above the picture. */
  label: string;
  lines: Line[];
  height?: number;
  isLog?: boolean;
  /** Weight of the past, 0 to below 1. */
  smoothing?: number;
  xLabel?: string;
}

const Picture = lazy(() => import('./picture'));

/** Lines over steps: zoom by dragging, back by double click. The code that draws comes when the first one is shown; its room is there before. */
export function Chart(props: ChartProps) {
  const { label, lines, height = 240 } = props;
  return (
    <Box
      role="img"
      aria-label={`${label}. ${lines.map(describe).join('; ') || 'Nothing yet.'}`}
      mih={height + 30}
    >
      <Suspense fallback={<Skeleton height={height} />}>
        <Picture {...props} height={height} />
      </Suspense>
    </Box>
  );
}

function describe({ label, x, y }: Line): string {
  const numbers = Array.from(y).filter(Number.isFinite);
  if (numbers.length === 0) return `${label}: nothing yet`;
  const [first, last] = [numbers[0], numbers.at(-1)];
  return `${label}: from ${formatNumber(first)} to ${formatNumber(last)} at step ${x[x.length - 1]}`;
}
