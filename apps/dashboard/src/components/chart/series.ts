/** Numbers by position: x ascending, y NaN where there is none. Both have the same length. */
export interface Points {
  x: ArrayLike<number>;
  y: ArrayLike<number>;
}

/** The first index whose x is at least a value. */
export function lowerBound(x: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((x[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The points from x = `from` to `to`, and one beyond on either side, thinned out for drawing: of each of `buckets` equal stretches of positions
 * the lowest and the highest, and the first and the last of all. A line through them covers the same pixels as one through all points.
 */
export function downsample({ x, y }: Points, from: number, to: number, buckets: number): Points {
  const begin = Math.max(0, lowerBound(x, from) - 1);
  const end = Math.min(x.length, lowerBound(x, to) + 1);
  const count = end - begin;
  if (count <= 2 * buckets) return { x: Array.from(x).slice(begin, end), y: Array.from(y).slice(begin, end) };
  const keptX: number[] = [];
  const keptY: number[] = [];
  const keep = (i: number) => {
    if (keptX.at(-1) === x[i]) return;
    keptX.push(x[i] as number);
    keptY.push(y[i] as number);
  };
  keep(begin);
  for (let bucket = 0; bucket < buckets; bucket++) {
    const first = begin + Math.floor((bucket * count) / buckets);
    const last = begin + Math.floor(((bucket + 1) * count) / buckets);
    let lowest = first;
    let highest = first;
    for (let i = first; i < last; i++) {
      const value = y[i] as number;
      // NaN is neither: a gap that is narrower than a pixel is not seen.
      if (value < (y[lowest] as number) || Number.isNaN(y[lowest])) lowest = i;
      if (value > (y[highest] as number) || Number.isNaN(y[highest])) highest = i;
    }
    keep(Math.min(lowest, highest));
    keep(Math.max(lowest, highest));
  }
  keep(end - 1);
  return { x: keptX, y: keptY };
}

/**
 * The exponential moving average with the given weight of the past, freed of its bias towards zero at the beginning, as boards for experiments
 * show it. Not a number stays what it is and counts for nothing. Weight 0: the values themselves.
 */
export function smooth(y: ArrayLike<number>, weight: number): ArrayLike<number> {
  if (weight === 0) return y;
  const smoothed = new Float64Array(y.length);
  let mean = 0;
  let bias = 1;
  for (let i = 0; i < y.length; i++) {
    const value = y[i] as number;
    if (!Number.isFinite(value)) {
      smoothed[i] = value;
      continue;
    }
    mean = weight * mean + (1 - weight) * value;
    // Below the last bit of 1 it is gone; on its way to 0 it would become subnormal, which processors are slow at.
    bias = bias < 1e-17 ? 0 : bias * weight;
    smoothed[i] = mean / (1 - bias);
  }
  return smoothed;
}

/** Lines of points of their own as columns over all of their x together, which is what uPlot draws; null where a line has no point. */
export function align(lines: readonly Points[]): [number[], ...(number | null)[][]] {
  const all = [...new Set(lines.flatMap(({ x }) => Array.from(x)))].sort((a, b) => a - b);
  const columns = lines.map(({ x, y }) => {
    const column: (number | null)[] = [];
    let i = 0;
    for (const at of all) {
      if (i < x.length && x[i] === at) {
        const value = y[i++] as number;
        column.push(Number.isFinite(value) ? value : null);
      } else column.push(null);
    }
    return column;
  });
  return [all, ...columns];
}
