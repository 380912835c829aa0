import { Box, Skeleton } from '@mantine/core';
import { Suspense } from 'react';
import { formatNumber } from '../../lib/format';
import { type Points } from './series';
import { lazyPart } from '../../lib/lazy-part';

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

const Picture = lazyPart(() => import('./picture'));

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
  // Nearly always the ends themselves: a line may have 100,000 points, and grow.
  let [begin, end] = [0, y.length - 1];
  while (begin < y.length && !Number.isFinite(y[begin])) begin++;
  while (end > begin && !Number.isFinite(y[end])) end--;
  if (begin === y.length) return `${label}: nothing yet`;
  const [first, last] = [y[begin], y[end]];
  return `${label}: from ${formatNumber(first)} to ${formatNumber(last)} at step ${x[x.length - 1]}`;
}
