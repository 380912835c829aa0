import { type JobMetric } from '@lowrank/contracts';
import { JobFeed, MetricColumns, secondsLeft } from './job-feed';

const metric = (step: number, more: Partial<JobMetric> = {}): JobMetric => ({
  ...{ step, at: new Date(step * 2000).toISOString(), kind: 'train', loss: step / 10, learningRate: 1e-4 },
  ...{ gradNorm: 1, tokensPerSecond: 100, epochs: 0, accuracy: null, rewardMargin: null },
  ...more,
});
const message = (event: string, data: object) => ({ event, id: '', data: JSON.stringify(data) });

it('replaces what a resumed attempt trains again', () => {
  const columns = new MetricColumns();
  for (const step of [1, 2, 3, 4]) columns.add(metric(step));
  columns.add(metric(3, { loss: 9 }));
  expect([columns.step, columns.loss]).toEqual([
    [1, 2, 3],
    [0.1, 0.2, 9],
  ]);
  expect(columns.accuracy).toEqual([NaN, NaN, NaN]);
});

it('keeps what a stream tells, once, and knows when it is over', () => {
  const feed = new JobFeed();
  let told = 0;
  feed.subscribe(() => told++);
  const history = [message('event', { seq: 1 }), message('event', { seq: 2 }), message('log', { seq: 7 })];
  expect(feed.take([...history, message('job', { state: 'running' })])).toBe(false);
  const before = feed.read();
  expect(feed.take([...history, message('metric', metric(1, { kind: 'eval' }))])).toBe(false);
  expect(feed.read().events).toBe(before.events);
  expect(feed.read().evaluations.step).toEqual([1]);
  expect(feed.take([message('job', { state: 'failed' })])).toBe(true);
  expect(told).toBe(3);
});

it('tells the time left by the last steps', () => {
  const train = new MetricColumns();
  const job = { state: 'running', totalSteps: 20 } as never;
  expect(secondsLeft({ job, train })).toBeNull();
  for (let step = 1; step <= 10; step++) train.add(metric(step));
  expect(secondsLeft({ job, train })).toBe(20);
});
