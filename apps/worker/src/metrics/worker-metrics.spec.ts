import { type JobMetric } from '@lowrank/contracts';
import { type AttemptMeter, WorkerMetrics } from './worker-metrics';

const metric = (step: number, tokensPerSecond: number, kind: JobMetric['kind'] = 'train') =>
  ({ step, kind, tokensPerSecond }) as JobMetric;
const claimed = (queuedAt: string, attemptStartedAt: string, notBefore: string | null = null) => ({
  queuedAt: `2026-01-01T00:00:${queuedAt}Z`,
  attemptStartedAt: `2026-01-01T00:00:${attemptStartedAt}Z`,
  notBefore: notBefore && `2026-01-01T00:00:${notBefore}Z`,
});

describe('WorkerMetrics', () => {
  const sample = async (metrics: WorkerMetrics, name: string) =>
    Number(
      (await metrics.registry.metrics())
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')[1],
    );

  it('sums the speeds of attempts, and counts the tokens and seconds of their steps', async () => {
    const metrics = new WorkerMetrics();
    const train = (from: number, steps: [tokens: number, speed: number][]) => async (meter: AttemptMeter) => {
      meter.plan(from);
      for (const [step, [tokens, speed]] of steps.entries()) meter.metric(metric(step, speed), tokens);
      return meter;
    };
    let ended = () => {};
    const fresh = metrics.attempt(claimed('00', '01'), async (meter) => {
      await train(0, [
        [100, 50],
        [300, 100],
      ])(meter);
      await new Promise<void>((resolve) => (ended = resolve));
      return 'published';
    });
    const resumed = metrics.attempt(claimed('00', '01'), async (meter) => {
      // How many tokens the first of its steps has is not known.
      await train(7, [
        [5000, 10],
        [5030, 10],
      ])(meter);
      meter.metric(metric(9, 0, 'eval'), 9999);
      expect(await sample(metrics, 'lowrank_training_tokens_per_second')).toBe(110);
      expect(await sample(metrics, 'lowrank_attempts_running')).toBe(2);
      return 'crashed';
    });
    await resumed;
    expect(await sample(metrics, 'lowrank_training_tokens_per_second')).toBe(100);
    ended();
    await fresh;
    expect(await sample(metrics, 'lowrank_trained_tokens_total')).toBe(330);
    expect(await sample(metrics, 'lowrank_training_step_seconds_count')).toBe(3);
    expect(await sample(metrics, 'lowrank_training_step_seconds_sum')).toBe(2 + 2 + 3);
    expect(await sample(metrics, 'lowrank_attempts_total{outcome="crashed"}')).toBe(1);
    expect(await sample(metrics, 'lowrank_attempts_running')).toBe(0);
  });

  it('takes the latency of dispatch from when the job could have started', async () => {
    const metrics = new WorkerMetrics();
    const ended = async () => 'drained';
    await metrics.attempt(claimed('00', '03'), ended);
    await metrics.attempt(claimed('00', '30', '26'), ended);
    await metrics.attempt(claimed('10', '09'), ended);
    expect(await sample(metrics, 'lowrank_dispatch_latency_seconds_sum')).toBe(7);
    expect(await sample(metrics, 'lowrank_dispatch_latency_seconds_count')).toBe(3);
  });

  it('counts an attempt that nobody could settle', async () => {
    const metrics = new WorkerMetrics();
    const lost = metrics.attempt(claimed('00', '01'), () => Promise.reject(new Error('Postgres stays away')));
    await expect(lost).rejects.toThrow('stays away');
    expect(await sample(metrics, 'lowrank_attempts_total{outcome="unsettled"}')).toBe(1);
  });
});
