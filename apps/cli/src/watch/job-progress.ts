import { type Job, type JobMetric, type JobStreamItem } from '@lowrank/contracts';

/** Steps that the pace is taken over. */
const window = 20;

/** What the stream of a job has said so far, as one wants to see it. */
export class JobProgress {
  job: Job | null = null;
  step = 0;
  loss: number | null = null;
  tokensPerSecond: number | null = null;
  /** Evaluations in the order they came; the first is the bare base's. */
  readonly evaluations: JobMetric[] = [];
  private readonly recent: { step: number; atMs: number }[] = [];

  get totalSteps(): number | null {
    return this.job?.totalSteps ?? null;
  }

  take(item: JobStreamItem): void {
    if (item.event === 'job') {
      this.job = item.data;
      // A resumed attempt goes back to its checkpoint.
      this.moveTo(item.data.step);
    }
    if (item.event !== 'metric') return;
    const { kind, step, loss, tokensPerSecond, at } = item.data;
    if (kind === 'eval') {
      this.evaluations.push(item.data);
      return;
    }
    this.moveTo(step);
    this.loss = loss;
    this.tokensPerSecond = tokensPerSecond ?? this.tokensPerSecond;
    this.recent.push({ step, atMs: Date.parse(at) });
    if (this.recent.length > window) this.recent.shift();
  }

  /** Seconds until the last step at the recent pace; null while that cannot be told. */
  get secondsLeft(): number | null {
    const first = this.recent[0];
    const last = this.recent.at(-1);
    if (!first || !last || last.step === first.step || this.totalSteps === null) return null;
    const secondsPerStep = (last.atMs - first.atMs) / 1000 / (last.step - first.step);
    return Math.max(0, this.totalSteps - last.step) * secondsPerStep;
  }

  private moveTo(step: number): void {
    if (step < this.step) this.recent.length = 0;
    this.step = step;
  }
}
