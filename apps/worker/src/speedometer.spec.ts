import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Speedometer, type SpeedometerOptions } from './speedometer';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'lowrank-speedometer-'))));
afterAll(() => rmSync(folder, { recursive: true }));

const meters: Speedometer[] = [];
afterEach(async () => {
  await Promise.all(meters.splice(0).map((meter) => meter.stop()));
});

/** One that starts a program with this source. */
function meterOf(source: string, options: Partial<SpeedometerOptions> = {}): Speedometer {
  const entry = join(folder, `${meters.length}.cjs`);
  writeFileSync(entry, source);
  const meter = new Speedometer({
    entry,
    env: { PATH: process.env.PATH },
    threads: 3,
    folder: join(folder, `of-${meters.length}`),
    isIdle: () => true,
    timings: { idleBeforeSpeed: 5, speedLimit: 20_000 },
    ...options,
  });
  meter.start();
  meters.push(meter);
  return meter;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await sleep(5);
}

const says = (report: string): string => `process.send(${report}, () => process.exit());`;

it('asks a program with the threads of a trainer', async () => {
  const meter = meterOf(says('{ operationsPerSecond: 100 * process.argv[2] }'));
  expect(meter.operationsPerSecond).toBeNull();
  await until(() => meter.operationsPerSecond !== null);
  expect(meter.operationsPerSecond).toBe(300);
});

it('waits until nothing trains', async () => {
  let isIdle = false;
  let asked = 0;
  const meter = meterOf(says('{ operationsPerSecond: 1 }'), { isIdle: () => ++asked > 0 && isIdle });
  await until(() => asked > 2);
  expect(meter.operationsPerSecond).toBeNull();
  isIdle = true;
  await until(() => meter.operationsPerSecond !== null);
});

it.each([
  ['that says what is wrong', says("{ operationsPerSecond: null, problem: 'no device' }")],
  ['that says something else', says("'hello'")],
  ['that fails', 'process.exit(3);'],
  ['that is too slow', 'setInterval(() => {}, 1000);'],
])('goes on without a figure after a program %s', async (_what, source) => {
  const meter = meterOf(source, { timings: { idleBeforeSpeed: 5, speedLimit: 300 } });
  // stop waits for what is going on.
  await sleep(500);
  await meter.stop();
  expect(meter.operationsPerSecond).toBeNull();
});

it('ends its program when it stops, and leaves nothing of it', async () => {
  const meter = meterOf(
    "require('node:fs').writeFileSync(process.argv[3] + '/model', ''); setInterval(() => {}, 1000);",
  );
  await until(() => existsSync(join(folder, 'of-0/model')));
  await meter.stop();
  expect(meter.operationsPerSecond).toBeNull();
  expect(existsSync(join(folder, 'of-0'))).toBe(false);
});
