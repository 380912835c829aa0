import { type Assignment, type JobMessage, type LogLevel, LowrankError } from '@lowrank/contracts';
import {
  type AttemptOutcome,
  type AttemptRef,
  endAttempt,
  isFinal,
  type Ports,
  reportHeartbeat,
} from '@lowrank/domain';
import { withoutSecrets } from '@lowrank/telemetry';
import { type AttemptMeter } from '../metrics/worker-metrics';
import { type Publishing } from '../publication';
import { messageOf, pause, persistently } from '../retry';
import { type Timings } from '../settings';
import { type AttemptFacts, outcomeOf } from './outcome';
import { LogRelay } from './log-relay';
import { type ReportListeners, ReportQueue } from './report-queue';
import { type Seat, type SharedTrainer } from './shared-trainer';

/** Where log lines of an attempt go. */
export interface AttemptLog {
  debug(message: string): void;
  log(message: string): void;
  warn(message: string): void;
}

export interface AttemptRunOptions {
  ports: Ports;
  timings: Timings;
  /** What no line of the job's log may show. */
  secrets: string[];
  log: AttemptLog;
  meter: AttemptMeter;
  /** Removes the checkpoints of a job that has ended. */
  clearUp(attempt: AttemptRef): Promise<void>;
  publishing: Publishing;
  /** What is known to be wrong with what trainers compute on; null: nothing. */
  deviceProblem(): string | null;
}

/** Messages that bring what comes of a job. */
const results: readonly JobMessage['type'][] = ['published', 'exported', 'evaluated'];

/** How a run ended: published, settled otherwise, or taken away by another attempt. */
export type AttemptEnd = 'published' | 'fenced' | AttemptOutcome['type'];

/**
 * One attempt from its seat in a trainer to the job's next state: relays messages to Postgres, sends heartbeats, and passes on
 * cancellation and drain. However the trainer ends, the run ends with the job settled or the attempt fenced.
 */
export class AttemptRun {
  private readonly attempt: AttemptRef;
  private readonly reports: ReportQueue;
  private readonly trainerLog: LogRelay;
  private readonly over = new AbortController();
  private seat: Seat | null = null;
  private lastWord: AttemptFacts['lastWord'] = null;
  private stopping: AttemptFacts['stopping'] = null;
  private unreadable: string | null = null;
  private refusal: AttemptOutcome | null = null;
  /** The trainer has sent its manifest; whether that was written is for the report queue to find out. */
  private publishing = false;
  private published = false;
  private fenced = false;

  constructor(
    private readonly assignment: Assignment,
    private readonly options: AttemptRunOptions,
  ) {
    const { ports, timings, log, publishing } = options;
    this.attempt = { jobId: assignment.jobId, epoch: assignment.epoch };
    this.trainerLog = new LogRelay(ports, this.attempt, timings, (error) =>
      log.warn(`Lines of the trainer's log wait: ${messageOf(error)}`),
    );
    const listeners: ReportListeners = {
      onFenced: () => this.fence(),
      onStop: () => this.stop('cancel'),
      onCheckpoint: (step) => this.seat?.written(step),
      // Whoever follows the job stops when it has ended.
      beforePublishing: () => this.trainerLog.settled(),
      onPublished: () => {
        this.published = true;
      },
      onFailed: (error) => this.refuse(error),
      onRetry: (error) => log.warn(`Report waits: ${messageOf(error)}`),
    };
    this.reports = new ReportQueue(ports, this.attempt, timings, listeners, publishing);
  }

  /**
   * Joins a trainer, before its first await, and resolves when the job is settled; rejects only if Postgres stays away, in which case the
   * reconciler settles it later.
   */
  async run(trainer: SharedTrainer): Promise<AttemptEnd> {
    const { log } = this.options;
    this.seat = trainer.join(this.assignment, {
      onMessage: (message) => this.hear(message),
      onUnreadable: (problem) => {
        this.unreadable = problem;
        log.warn(`Message that cannot be read: ${problem}`);
      },
      onOutput: (line, level) => this.relay(level, line),
    });
    if (this.stopping) this.seat.stop(this.stopping);
    const watching = this.beat();
    const exit = await this.seat.exit;
    this.over.abort();
    await watching;
    await this.trainerLog.settled();
    await this.reports.settled();
    if (this.fenced) return 'fenced';
    if (this.published) return this.clearUp('published');
    const { lastWord, stopping, unreadable } = this;
    const deviceProblem = this.options.deviceProblem();
    return this.settle(this.refusal ?? outcomeOf({ exit, lastWord, stopping, unreadable, deviceProblem }));
  }

  /** Asks the trainer to stop, and kills it if it has not done so in time. The first reason counts, but a cancellation beats a drain. */
  stop(reason: 'cancel' | 'drain'): void {
    if (this.stopping === reason || this.stopping === 'cancel') return;
    this.stopping = reason;
    this.seat?.stop(reason);
    const { cancelGrace, drainGrace } = this.options.timings;
    void this.killAfter(reason === 'drain' ? drainGrace : cancelGrace);
  }

  private hear(message: JobMessage): void {
    if (message.type === 'log') return this.relay(message.level, message.message);
    const { meter } = this.options;
    if (message.type === 'plan') meter.plan(message.resumedFromStep);
    if (message.type === 'metric') meter.metric(message.metric, message.trainedTokens);
    if (results.includes(message.type)) this.publishing = true;
    if (message.type === 'stopped' || message.type === 'failed') this.lastWord = message;
    else this.reports.push(message);
    if (![...results, 'stopped', 'failed'].includes(message.type)) return;
    // The process should end by itself now, unless it has other jobs; what remains of it must not hold the slot.
    this.seat?.finish();
    void this.killAfter(this.options.timings.stopGrace);
  }

  private relay(level: LogLevel, message: string): void {
    const { log, secrets } = this.options;
    // The job's log is for its whole team; the store's secret is not.
    const clean = withoutSecrets(message, secrets);
    log.debug(clean);
    this.trainerLog.push(level, clean);
  }

  /** Each heartbeat asks Postgres whether to go on. */
  private async beat(): Promise<void> {
    const { ports, timings, log } = this.options;
    while (!this.over.signal.aborted) {
      await pause(timings.heartbeat, this.over.signal);
      if (this.over.signal.aborted) return;
      try {
        const order = await reportHeartbeat(ports, this.attempt);
        // A published job is held by no attempt either.
        if (order === 'fenced' && !this.publishing) this.fence();
        if (order === 'cancel') this.stop('cancel');
        // What becomes of the job then is for its row to say: it may be paused, or have lost its slot to another.
        if (order === 'yield') this.stop('drain');
      } catch (error) {
        log.warn(`Heartbeat failed: ${messageOf(error)}`);
      }
    }
  }

  private async killAfter(ms: number): Promise<void> {
    await pause(ms, this.over.signal);
    if (!this.over.signal.aborted) this.seat?.kill();
  }

  private fence(): void {
    if (this.fenced) return;
    this.fenced = true;
    this.options.log.log('Fenced: the job has moved on. Ending its trainer.');
    this.seat?.kill();
  }

  /** A report was refused: the trainer and the catalog disagree, and another attempt would disagree again. */
  private refuse(error: unknown): void {
    const message = `A report of the trainer was refused: ${messageOf(error)}`;
    this.options.log.warn(message);
    const refused = error instanceof LowrankError;
    this.refusal = { type: 'failed', code: refused ? error.code : 'internal', message, retryable: !refused };
    this.seat?.kill();
  }

  private async settle(outcome: AttemptOutcome): Promise<AttemptEnd> {
    const { ports, timings, log } = this.options;
    const job = await persistently(
      () => endAttempt(ports, this.attempt, outcome),
      timings.reportPatience,
      (error) => log.warn(`The end of the attempt waits: ${messageOf(error)}`),
    );
    if (job === null) return 'fenced';
    return isFinal(job.state) ? this.clearUp(outcome.type) : outcome.type;
  }

  /** A final job never resumes, so its checkpoints go. */
  private async clearUp(end: AttemptEnd): Promise<AttemptEnd> {
    await this.options.clearUp(this.attempt);
    return end;
  }
}
