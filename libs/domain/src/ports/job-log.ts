import {
  type JobCurve,
  type JobEvent,
  type JobLogLine,
  type JobMetric,
  type JobSamples,
  type MetricColumns,
} from '@lowrank/contracts';

/** Names an event, or a metric, of one job. */
export type TimelineKey = Pick<JobEvent, 'seq'> | Pick<JobMetric, 'step' | 'kind'>;
export type TimelineEntry = JobEvent | JobMetric;

/** The part of JobRepository that grows with a job: its events, metrics and log. */
export interface JobLogRepository {
  appendEvent(id: string, event: Omit<JobEvent, 'seq'>): Promise<JobEvent>;
  /** The first event of jobs that were inserted in this transaction. */
  beginHistory(ids: string[], event: Omit<JobEvent, 'seq'>): Promise<void>;
  events(id: string, afterSeq: number, limit: number): Promise<JobEvent[]>;
  /**
   * Events and metrics of a job together, the newest first, from before one of them on.
   * Error: validation_failed when `before` is not there, as a metric that an attempt has trained again may not be.
   */
  timeline(id: string, page: { before?: TimelineKey; limit: number }): Promise<TimelineEntry[]>;
  /** Replaces rows of the same (step, kind): a resumed attempt repeats steps. */
  putMetrics(id: string, metrics: JobMetric[]): Promise<void>;
  /** In order of (step, kind), with step > `afterStep` when given. */
  metrics(id: string, options: { afterStep?: number; limit: number }): Promise<JobMetric[]>;
  /** The same by columns, all of them. */
  metricColumns(id: string, afterStep: number): Promise<Record<JobMetric['kind'], MetricColumns>>;
  /**
   * Of those of the jobs that are the team's: metrics of each kind, evenly over its steps, the first and the last among them; at most
   * `points` + 1 of a kind. In order of (step, kind).
   */
  sampledMetrics(teamId: string, ids: readonly string[], points: number): Promise<JobCurve[]>;
  /** Training losses of the last `points` steps of each of these jobs, the oldest first; jobs without any may be left out. */
  lossTails(
    ids: string[],
    points: number,
  ): Promise<{ jobId: string; losses: { step: number; loss: number }[] }[]>;
  /** Replaces those of the same step. */
  putSamples(id: string, samples: JobSamples): Promise<void>;
  /** In order of steps. */
  samples(id: string): Promise<JobSamples[]>;
  /** Deletes metrics and samples with step > `step`: called when an attempt resumes from a checkpoint. */
  truncateMetrics(id: string, step: number): Promise<void>;
  /** Adds lines to the job's log, whose row the caller has locked, and drops all but the newest `keep`. */
  appendLog(id: string, lines: Omit<JobLogLine, 'seq'>[], keep: number): Promise<void>;
  log(id: string, afterSeq: number, limit: number): Promise<JobLogLine[]>;
}
