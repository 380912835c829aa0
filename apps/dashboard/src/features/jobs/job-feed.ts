import {
  type Job,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobMetricColumns,
  type JobStreamItem,
  type MetricColumns as Columns,
} from '@lowrank/contracts';
import { type ServerSentEvent } from '../../lib/event-stream';
import { lowerBound } from '../../components/chart/series';

/** Lines of a log that are kept, as many as the server keeps. */
const keptLines = 5000;

/** Metrics of one kind by columns, in order of steps: 100,000 of them are shown, and objects would take ten times the memory. */
export class MetricColumns {
  readonly step: number[] = [];
  readonly loss: number[] = [];
  readonly learningRate: number[] = [];
  readonly gradNorm: number[] = [];
  readonly tokensPerSecond: number[] = [];
  readonly accuracy: number[] = [];
  readonly rewardMargin: number[] = [];
  /** Milliseconds since 1970. */
  readonly at: number[] = [];

  /** A step that is there already was trained again, from a checkpoint: it and what came after it are replaced. */
  add(metric: JobMetric): void {
    if (metric.step <= (this.step.at(-1) ?? -1)) this.truncate(lowerBound(this.step, metric.step));
    this.step.push(metric.step);
    this.at.push(Date.parse(metric.at));
    this.loss.push(metric.loss);
    this.learningRate.push(metric.learningRate ?? NaN);
    this.gradNorm.push(metric.gradNorm ?? NaN);
    this.tokensPerSecond.push(metric.tokensPerSecond ?? NaN);
    this.accuracy.push(metric.accuracy ?? NaN);
    this.rewardMargin.push(metric.rewardMargin ?? NaN);
  }

  /** Those that are known when it begins. */
  fill(columns: Columns): void {
    for (const [name, column] of Object.entries(this) as [keyof Columns, number[]][]) {
      const from = columns[name];
      for (let i = 0; i < columns.step.length; i++) column.push(from?.[i] ?? NaN);
    }
  }

  private truncate(length: number): void {
    for (const column of Object.values(this)) (column as number[]).length = length;
  }
}

/** What has been told of a job so far. A new object each time that something has come, around columns that grow in place. */
export interface JobNews {
  job: Job | null;
  events: readonly JobEvent[];
  log: readonly JobLogLine[];
  train: MetricColumns;
  evaluations: MetricColumns;
}

/** Takes a job's stream and keeps what it has told, for useSyncExternalStore. */
export class JobFeed {
  private news: JobNews = {
    job: null,
    events: [],
    log: [],
    train: new MetricColumns(),
    evaluations: new MetricColumns(),
  };
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };
  readonly read = (): JobNews => this.news;

  /** What the stream is not asked for again. */
  begin({ train, eval: evaluations }: JobMetricColumns): void {
    this.news.train.fill(train);
    this.news.evaluations.fill(evaluations);
    this.tell({ ...this.news });
  }

  /** Returns whether the job is over: nothing comes after that. */
  take(messages: readonly ServerSentEvent[]): boolean {
    let { job } = this.news;
    const { train, evaluations } = this.news;
    const events: JobEvent[] = [];
    const lines: JobLogLine[] = [];
    const last = { seq: this.news.events.at(-1)?.seq ?? 0, line: this.news.log.at(-1)?.seq ?? 0 };
    for (const { event, data } of messages) {
      const item = { event, data: JSON.parse(data) as unknown } as JobStreamItem;
      if (item.event === 'job') job = item.data;
      if (item.event === 'metric') (item.data.kind === 'train' ? train : evaluations).add(item.data);
      if (item.event === 'event' && item.data.seq > last.seq) events.push(item.data);
      if (item.event === 'log' && item.data.seq > last.line) lines.push(item.data);
    }
    this.tell({
      job,
      train,
      evaluations,
      events: events.length > 0 ? [...this.news.events, ...events] : this.news.events,
      log: lines.length > 0 ? [...this.news.log, ...lines].slice(-keptLines) : this.news.log,
    });
    return job !== null && ['succeeded', 'failed', 'cancelled'].includes(job.state);
  }

  private tell(news: JobNews): void {
    this.news = news;
    for (const listener of this.listeners) listener();
  }
}

/** Seconds that a run has left, by the speed of its last steps; null: nothing to tell it from. */
export function secondsLeft({ job, train }: Pick<JobNews, 'job' | 'train'>): number | null {
  if (job?.state !== 'running' || job.totalSteps === null) return null;
  const last = train.step.length - 1;
  const first = Math.max(0, last - 50);
  const steps = (train.step[last] ?? 0) - (train.step[first] ?? 0);
  if (steps <= 0) return null;
  const seconds = ((train.at[last] as number) - (train.at[first] as number)) / 1000;
  return ((job.totalSteps - (train.step[last] as number)) * seconds) / steps;
}
