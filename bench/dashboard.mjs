// How long the dashboard takes to make 100,000 points of a curve ready to draw, as it does for every picture: smoothed, thinned out to two
// points a pixel, laid side by side with another line. A frame at 60 Hz has 16.7 ms.
// Then, where there is a Chromium and everything is built, in it and on a whole Lowrank: from opening a run of 100,000 steps to its curves, frames
// while zooming, and from opening a page to where it takes input. Run: npm run bench:dashboard
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import startRun from '../libs/testing/jest/global-setup.mjs';
import endRun from '../libs/testing/jest/global-teardown.mjs';

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

const { hasChromium, launch, signInWithKey, visit } = require('../apps/dashboard/test/browser.ts');
if (hasChromium) {
  // The journeys' database server, as their tests start and end it.
  await startRun();
  try {
    await inChromium();
  } finally {
    await endRun();
  }
}

async function inChromium() {
  const { Stack } = require('../apps/dashboard/test/stack.ts');
  const stack = await Stack.start();
  const browser = await launch();
  try {
    const job = await longRun(stack);
    const { page, context } = await visit(browser, stack);
    await report('sign-in page takes input', () => interactive(page, '/sign-in', 'input[name="email"]'));
    await signInWithKey(page, stack.key);
    await report('overview takes input', () => interactive(page, '/', 'main h1'));
    const path = `/jobs/${job}`;
    for (const name of ['metrics/columns', 'stream']) {
      const response = await fetch(`${stack.url}/api/v1/jobs/${job}/${name}`, {
        headers: { authorization: `Bearer ${stack.key}`, 'accept-encoding': 'gzip' },
      });
      const begin = performance.now();
      let bytes = 0;
      for await (const chunk of response.body) bytes += chunk.length;
      print(performance.now() - begin, `${name}: read to its end, ${(bytes / 1e6).toFixed(1)} MB of text`);
    }
    await report(`run of ${points} steps: its curves are drawn`, () => drawn(page, path));
    const frames = await framesOf(page, async () => {
      const box = await page.locator('.chart .u-over').first().boundingBox();
      for (let i = 0; i < 5; i++) {
        const y = box.y + box.height / 2;
        await page.mouse.move(box.x + box.width * 0.3, y);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.6, y, { steps: 20 });
        await page.mouse.up();
        await page.mouse.dblclick(box.x + box.width / 2, y);
      }
    });
    print(
      frames[Math.floor(frames.length / 2)],
      `frame while zooming in and out, median of ${frames.length}`,
    );
    print(frames[Math.floor(frames.length * 0.95)], 'the same, 95 of 100');
    print(frames.at(-1), 'the same, longest');
    await context.close();
  } finally {
    await browser.close();
    await stack.stop();
  }
}

function print(milliseconds, name) {
  process.stdout.write(`${milliseconds.toFixed(1).padStart(8)}  ${name}\n`);
}

/** The median of five. */
async function report(name, measure) {
  const times = [];
  for (let i = 0; i < 5; i++) times.push(await measure());
  print(times.sort((a, b) => a - b)[2], `${name}, median of 5`);
}

/** A job with as many metrics as there are points, which is over. */
async function longRun(stack) {
  const { Client } = require('pg');
  const base = await stack.importSample();
  const data = await stack.uploadSample();
  const { id } = await stack.call('POST', '/api/v1/jobs', {
    ...{ baseModel: base.name, dataset: data.id, adapter: 'long', notBefore: '2100-01-01T00:00:00.000Z' },
    recipe: { training: { sequenceLength: 256, steps: points } },
  });
  const client = new Client({ connectionString: stack.databaseUrl });
  await client.connect();
  await client.query(
    `INSERT INTO job_metrics (job_id, step, kind, at, loss, learning_rate, grad_norm, tokens_per_second, epochs)
     SELECT $1, n, 'train', now(), 3 * exp(-n / 20000.0) + random() / 10, 2e-4 * (1 - n / $2::float8), random(),
       4000 + 500 * random(), n / 1000.0 FROM generate_series(1, $2::int) n`,
    [id, points],
  );
  await client.query(
    `UPDATE jobs SET state = 'cancelled', finished_at = now(), step = $2, total_steps = $2 WHERE id = $1`,
    [id, points],
  );
  await client.end();
  return id;
}

/** Milliseconds from going to a page until an element is there and the browser has nothing else to do. */
async function interactive(page, path, selector) {
  await page.goto('about:blank');
  await page.goto(path, { waitUntil: 'commit' });
  await page.locator(selector).first().waitFor();
  return page.evaluate(
    () => new Promise((resolve) => requestIdleCallback(() => resolve(performance.now()), { timeout: 5000 })),
  );
}

/** Milliseconds from going to a run until the first of its curves has a line. */
async function drawn(page, path) {
  await page.goto('about:blank');
  await page.goto(path, { waitUntil: 'commit' });
  await page.locator('.chart canvas').first().waitFor();
  return page.evaluate(
    () =>
      new Promise((resolve) => {
        const look = () => {
          const canvas = document.querySelector('.chart canvas');
          const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
          // Axes are grey; a line is blue.
          let blue = 0;
          for (let i = 0; i < data.length; i += 4)
            if (data[i + 2] > data[i] + 60 && data[i + 3] > 200) blue++;
          if (blue > 200) resolve(performance.now());
          else requestAnimationFrame(look);
        };
        look();
      }),
  );
}

/** Milliseconds between frames while something is done, the shortest first. */
async function framesOf(page, act) {
  await page.evaluate(() => {
    window.frames_ = [];
    let last = performance.now();
    const next = (now) => {
      window.frames_.push(now - last);
      last = now;
      window.frame_ = requestAnimationFrame(next);
    };
    window.frame_ = requestAnimationFrame(next);
  });
  await act();
  return page.evaluate(() => {
    cancelAnimationFrame(window.frame_);
    return window.frames_.slice(1).sort((a, b) => a - b);
  });
}
