import { type Job, type JobMetric, type JobStreamItem } from '@lowrank/contracts';
import { JobProgress } from './job-progress';
import { describeProgress } from './view';

const job = (fields: Partial<Job>): JobStreamItem => ({
  event: 'job',
  data: { step: 0, totalSteps: 100, ...fields } as Job,
});
const metric = (step: number, second: number, fields: Partial<JobMetric> = {}): JobStreamItem => ({
  event: 'metric',
  data: {
    step,
    at: new Date(second * 1000).toISOString(),
    kind: 'train',
    loss: 2,
    learningRate: 1e-4,
    gradNorm: 1,
    tokensPerSecond: 1000,
    epochs: 0,
    accuracy: null,
    rewardMargin: null,
    ...fields,
  },
});

describe('JobProgress', () => {
  it('tells the time left from the recent pace', () => {
    const progress = new JobProgress();
    progress.take(job({ totalSteps: 100 }));
    expect(progress.secondsLeft).toBeNull();
    progress.take(metric(1, 0));
    expect(progress.secondsLeft).toBeNull();
    for (let step = 2; step <= 60; step += 1)
      progress.take(metric(step, step <= 30 ? 10 * step : 300 + step));
    // The last 20 steps took a second each, whatever the first took.
    expect(progress.secondsLeft).toBeCloseTo(40);
    expect(describeProgress(progress)).toBe('loss 2.000 · 1,000 tokens/s · 40 s left');
  });

  it('goes back with a resumed attempt and forgets its pace', () => {
    const progress = new JobProgress();
    progress.take(job({}));
    progress.take(metric(49, 1));
    progress.take(metric(50, 2));
    progress.take(job({ step: 25 }));
    expect(progress.step).toBe(25);
    expect(progress.secondsLeft).toBeNull();
    progress.take(metric(26, 1000));
    progress.take(metric(27, 1002));
    expect(progress.secondsLeft).toBeCloseTo(146);
  });

  it('keeps evaluations apart from training', () => {
    const progress = new JobProgress();
    progress.take(job({}));
    progress.take(metric(0, 0, { kind: 'eval', loss: 3, tokensPerSecond: null }));
    expect(progress.loss).toBeNull();
    expect(progress.evaluations.map(({ loss }) => loss)).toEqual([3]);
    expect(describeProgress(progress)).toBe('');
  });
});
