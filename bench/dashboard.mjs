// How long the dashboard takes to make 100,000 points of a curve ready to draw, as it does for every picture: smoothed, thinned out to two
// points a pixel, laid side by side with another line. A frame at 60 Hz has 16.7 ms. Run: npm run bench:dashboard
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
require('../tools/typescript.cjs');
const { align, downsample, smooth } = require(
  fileURLToPath(new URL('../apps/dashboard/src/components/chart/series.ts', import.meta.url)),
);

const points = 100_000;
const pixels = 1200;
const x = Float64Array.from({ length: points }, (_, i) => i);
const y = Float64Array.from({ length: points }, (_, i) => 3 * Math.exp(-i / 20_000) + Math.sin(i) / 10);
const steps = {
  smooth: () => smooth(y, 0.9),
  'thin out': () => downsample({ x, y }, 0, points, pixels),
  'thin out, zoomed to a tenth': () => downsample({ x, y }, 40_000, 50_000, pixels),
  'all, two lines': () => {
    const line = downsample({ x, y: smooth(y, 0.9) }, 0, points, pixels);
    return align([line, downsample({ x, y }, 0, points, pixels)]);
  },
};
process.stdout.write(`${points} points, ${pixels} pixels; median of 30, milliseconds\n`);
for (const [name, step] of Object.entries(steps)) {
  const times = Array.from({ length: 30 }, () => {
    const begin = performance.now();
    step();
    return performance.now() - begin;
  }).sort((a, b) => a - b);
  process.stdout.write(`${times[15].toFixed(2).padStart(8)}  ${name}\n`);
}
