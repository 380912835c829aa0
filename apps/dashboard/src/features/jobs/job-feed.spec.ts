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

it('begins with the metrics that came by columns, and goes on with those of the stream', () => {
  const feed = new JobFeed();
  const none = {
    learningRate: null,
    gradNorm: null,
    tokensPerSecond: null,
    accuracy: null,
    rewardMargin: null,
  };
  feed.begin({
    train: { ...none, step: [1, 2], at: [10, 20], loss: [3, 2], gradNorm: [null, 4] },
    eval: { ...none, step: [0], at: [5], loss: [4] },
    cursor: '0.2.0',
  });
  feed.take([message('metric', metric(2, { loss: 1 })), message('metric', metric(3))]);
  const { train, evaluations } = feed.read();
  expect([train.step, train.loss, train.gradNorm]).toEqual([
    [1, 2, 3],
    [3, 1, 0.3],
    [NaN, 1, 1],
  ]);
  expect([evaluations.step, evaluations.loss, evaluations.accuracy]).toEqual([[0], [4], [NaN]]);
});

it('tells the time left by the last steps', () => {
  const train = new MetricColumns();
  const job = { state: 'running', totalSteps: 20 } as never;
  expect(secondsLeft({ job, train })).toBeNull();
  for (let step = 1; step <= 10; step++) train.add(metric(step));
  expect(secondsLeft({ job, train })).toBe(20);
});
