import { type JobMessage } from '@lowrank/contracts';
import {
  type AttemptOrder,
  type AttemptRef,
  type JobRecord,
  type Ports,
  publishEvaluation,
  publishExport,
  publishVersion,
  reportCheckpoint,
  reportKept,
  reportMessage,
  reportMetrics,
  reportMirrored,
  reportPhase,
  reportPlan,
  reportSamples,
  reportStep,
} from '@lowrank/domain';
import { type Publishing } from '../publication';
import { pause, persistently } from '../retry';
import { type Timings } from '../settings';

/** Messages that become writes; the others only matter to the supervisor. */
export type Report = Exclude<JobMessage, { type: 'log' | 'stopped' | 'failed' }>;

export interface ReportListeners {
  /** The job has moved on to another attempt: nothing more of this one will be written. */
  onFenced(): void;
  /** What was reported makes it end early. */
  onStop(): void;
  /** A checkpoint is written down, and with it every report before it. */
  onCheckpoint(step: number): void;
  /** Awaited before the write that ends the job. */
  beforePublishing(): Promise<void>;
  onPublished(): void;
  /** A write was refused, or Postgres did not answer for longer than the worker's patience. */
  onFailed(error: unknown): void;
  onRetry(error: unknown): void;
}

/** What comes of a job, by its last message. */
type Result = Extract<Report, { type: 'published' | 'exported' | 'evaluated' }>;

function publishResult(ports: Ports, attempt: AttemptRef, report: Result): Promise<JobRecord | null> {
  switch (report.type) {
    case 'published':
      return publishVersion(ports, attempt, report.manifest);
    case 'exported':
      return publishExport(ports, attempt, report.manifest);
    case 'evaluated':
      return publishEvaluation(ports, attempt, report.manifest);
  }
}

/**
 * Writes a trainer's reports to Postgres, one after the other in the order they came; metrics that come close together are one
 * write. While Postgres is away the reports wait here, and training goes on.
 */
export class ReportQueue {
  private readonly waiting: Report[] = [];
  private working: Promise<void> = Promise.resolve();
  private busy = false;
  private over = false;
  private hurry = new AbortController();

  constructor(
    private readonly ports: Ports,
    private readonly attempt: AttemptRef,
    private readonly timings: Pick<Timings, 'metricBatch' | 'reportPatience'>,
    private readonly listeners: ReportListeners,
    private readonly publishing: Publishing,
  ) {}

  push(report: Report): void {
    if (this.over) return;
    this.waiting.push(report);
    if (report.type !== 'metric') this.hurry.abort();
    if (this.busy) return;
    this.busy = true;
    this.working = this.work();
  }

  /** Resolves when everything pushed so far is written or given up. */
  async settled(): Promise<void> {
    this.hurry.abort();
    await this.working;
  }

  private async work(): Promise<void> {
    try {
      while (!this.over && this.waiting.length > 0) {
        if (this.waiting.every(({ type }) => type === 'metric')) await this.gather();
        const written = await persistently(
          this.nextWrite(),
          this.timings.reportPatience,
          this.listeners.onRetry,
        );
        if (!written) {
          this.over = true;
          this.listeners.onFenced();
        }
      }
    } catch (error) {
      this.over = true;
      this.listeners.onFailed(error);
    } finally {
      this.busy = false;
    }
  }

  /** Lets more metrics come, unless something else does or the queue is to settle. */
  private async gather(): Promise<void> {
    await pause(this.timings.metricBatch, this.hurry.signal);
    if (this.hurry.signal.aborted) this.hurry = new AbortController();
  }

  /** Whether a report was written. */
  private async obeying(answer: Promise<AttemptOrder>): Promise<boolean> {
    const order = await answer;
    if (order === 'cancel') this.listeners.onStop();
    return order !== 'fenced';
  }

  /** Takes the next report, or all metrics up to the next other report, and returns what writes them. */
  private nextWrite(): () => Promise<boolean> {
    const { ports, attempt } = this;
    const report = this.waiting.shift();
    if (!report) return () => Promise.resolve(true);
    switch (report.type) {
      case 'phase':
        return () => reportPhase(ports, attempt, report.phase);
      case 'plan':
        return () => this.obeying(reportPlan(ports, attempt, report));
      case 'progress': {
        // Of steps that wait, only the last is of interest.
        let { step } = report;
        for (let next = this.waiting[0]; next?.type === 'progress'; next = this.waiting[0]) {
          step = next.step;
          this.waiting.shift();
        }
        return () => reportStep(ports, attempt, step);
      }
      case 'checkpoint':
        return async () => {
          const written = await reportCheckpoint(ports, attempt, report);
          if (written) this.listeners.onCheckpoint(report.step);
          return written;
        };
      case 'mirrored':
        return () => reportMirrored(ports, attempt, report);
      case 'samples':
        return () => reportSamples(ports, attempt, report);
      case 'kept': {
        const { manifest } = report;
        return () => this.publishing.keep(manifest.files, () => reportKept(ports, attempt, manifest));
      }
      case 'message':
        return () => reportMessage(ports, attempt, report);
      case 'metric': {
        const metrics = [report.metric];
        let { trainedTokens } = report;
        for (let next = this.waiting[0]; next?.type === 'metric'; next = this.waiting[0]) {
          metrics.push(next.metric);
          trainedTokens = next.trainedTokens;
          this.waiting.shift();
        }
        return () => this.obeying(reportMetrics(ports, attempt, { metrics, trainedTokens }));
      }
      case 'published':
      case 'exported':
      case 'evaluated':
        return async () => {
          // An attempt that finds an earlier one's manifest publishes it without any phase in between.
          if (!(await reportPhase(ports, attempt, 'publishing'))) return false;
          await this.listeners.beforePublishing();
          const { manifest } = report;
          const files = 'files' in manifest ? manifest.files : [];
          const job = await this.publishing.publish({ jobId: manifest.jobId, files }, () =>
            publishResult(ports, attempt, report),
          );
          if (job) this.listeners.onPublished();
          return job !== null;
        };
    }
  }
}
