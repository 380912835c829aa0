import { type FinishedRun, predictTime } from './time';

const run = (changes: Partial<FinishedRun> = {}): FinishedRun => ({
  deviceClass: 'cpu',
  baseModelId: 'base_a',
  operations: 1000,
  tokens: 10,
  seconds: 10,
  ...changes,
});
const job = { baseModelId: 'base_a', operations: 4000, tokens: 40 };

it('knows nothing without finished jobs', () => {
  expect(predictTime([], null, job)).toBeNull();
  expect(predictTime([run({ seconds: 0 })], null, job)).toBeNull();
});

it('prefers those on the same base, long ones before short ones', () => {
  const runs = [run(), run({ seconds: 1, operations: 1000 }), run({ baseModelId: 'base_b', seconds: 1 })];
  // 2000 operations in 11 seconds.
  expect(predictTime(runs, null, job)).toEqual({
    seconds: expect.closeTo(22, 9),
    tokensPerSecond: expect.closeTo(40 / 22, 9),
    basis: 'base-model',
    measuredJobs: 2,
  });
});

it('takes models of a similar size next, and then any', () => {
  const similar = run({ baseModelId: 'base_b', operations: 2500 });
  const larger = run({ baseModelId: 'base_c', operations: 100_000 });
  expect(predictTime([similar, larger], null, job)).toMatchObject({
    seconds: 16,
    basis: 'similar-models',
    measuredJobs: 1,
  });
  expect(predictTime([larger], null, job)).toMatchObject({
    seconds: 0.4,
    basis: 'other-models',
    measuredJobs: 1,
  });
});

it('rests on what the workers measured until a job has finished', () => {
  expect(predictTime([], 2 * job.operations, job)).toEqual({
    seconds: 0.5,
    tokensPerSecond: 2 * job.tokens,
    basis: 'device',
    measuredJobs: 0,
  });
  expect(predictTime([run({})], 2 * job.operations, job)).toMatchObject({ measuredJobs: 1 });
});
