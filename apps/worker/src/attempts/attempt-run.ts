import { type Assignment, type FromTrainer, type LogLevel, LowrankError } from '@lowrank/contracts';
import {
  type AttemptOutcome,
  type AttemptRef,
  endAttempt,
  isFinal,
  type Ports,
  reportHeartbeat,
} from '@lowrank/domain';
import { withoutSecrets } from '@lowrank/telemetry';
import { rm } from 'node:fs/promises';
import { type AttemptMeter } from '../metrics/worker-metrics';
import { messageOf, pause, persistently } from '../retry';
import { type Timings } from '../settings';
import { type AttemptFacts, outcomeOf } from './outcome';
import { LogRelay } from './log-relay';
import { ReportQueue } from './report-queue';
import { startTrainer, type TrainerProcess } from './trainer-process';

/** Where log lines of an attempt go. */
export interface AttemptLog {
  debug(message: string): void;
  log(message: string): void;
  warn(message: string): void;
}

export interface AttemptRunOptions {
  ports: Ports;
  timings: Timings;
  /** Compiled main file of the trainer. */
  trainerEntry: string;
  trainerEnv: NodeJS.ProcessEnv;
  log: AttemptLog;
  meter: AttemptMeter;
}

/** How a run ended: published, settled otherwise, or taken away by another attempt. */
export type AttemptEnd = 'published' | 'fenced' | AttemptOutcome['type'];

/**
 * One attempt from the fork of its trainer to the job's next state: relays messages to Postgres, sends heartbeats, and passes on
 * cancellation and drain. However the trainer ends, the run ends with the job settled or the attempt fenced.
 */
export class AttemptRun {
  private readonly attempt: AttemptRef;
  private readonly reports: ReportQueue;
  private readonly trainerLog: LogRelay;
  private readonly over = new AbortController();
  private trainer: TrainerProcess | null = null;
  private lastWord: AttemptFacts['lastWord'] = null;
  private stopping: AttemptFacts['stopping'] = null;
  private killedFor: string | null = null;
  private unreadable: string | null = null;
  private refusal: AttemptOutcome | null = null;
  /** The trainer has sent its manifest; whether that was written is for the report queue to find out. */
  private publishing = false;
  private published = false;
  private fenced = false;
  private heardAt = Date.now();

  constructor(
    private readonly assignment: Assignment,
    private readonly options: AttemptRunOptions,
  ) {
    const { ports, timings, log } = options;
    this.attempt = { jobId: assignment.jobId, epoch: assignment.epoch };
    this.trainerLog = new LogRelay(ports, this.attempt, timings, (error) =>
      log.warn(`Lines of the trainer's log wait: ${messageOf(error)}`),
    );
    this.reports = new ReportQueue(ports, this.attempt, timings, {
      onFenced: () => this.fence(),
      // Whoever follows the job stops when it has ended.
      beforePublishing: () => this.trainerLog.settled(),
      onPublished: () => {
        this.published = true;
      },
      onFailed: (error) => this.refuse(error),
      onRetry: (error) => log.warn(`Report waits: ${messageOf(error)}`),
    });
  }

  get pid(): number | undefined {
    return this.trainer?.pid;
  }

  /** Resolves when the job is settled; rejects only if Postgres stays away, in which case the reconciler settles it later. */
  async run(): Promise<AttemptEnd> {
    const { trainerEntry, trainerEnv, log } = this.options;
    this.heardAt = Date.now();
    this.trainer = startTrainer(trainerEntry, trainerEnv, {
      onMessage: (message) => this.hear(message),
      onUnreadable: (problem) => {
        this.heardAt = Date.now();
        this.unreadable = problem;
        log.warn(`Message that cannot be read: ${problem}`);
      },
      onOutput: (line, level) => this.relay(level, line),
    });
    this.trainer.send({ type: 'assign', assignment: this.assignment });
    if (this.stopping) this.trainer.send({ type: 'stop', reason: this.stopping });
    const watching = Promise.all([this.beat(), this.listenForSilence()]);
    const exit = await this.trainer.exit;
    this.over.abort();
    await watching;
    await this.trainerLog.settled();
    await this.reports.settled();
    if (this.fenced) return 'fenced';
    if (this.published) return this.clearUp('published');
    const { lastWord, stopping, killedFor, unreadable } = this;
    return this.settle(this.refusal ?? outcomeOf({ exit, lastWord, stopping, killedFor, unreadable }));
  }

  /** Asks the trainer to stop, and kills it if it has not done so in time. The first reason counts, but a cancellation beats a drain. */
  stop(reason: 'cancel' | 'drain'): void {
    if (this.stopping === reason || this.stopping === 'cancel') return;
    this.stopping = reason;
    this.trainer?.send({ type: 'stop', reason });
    const { cancelGrace, drainGrace } = this.options.timings;
    void this.killAfter(reason === 'drain' ? drainGrace : cancelGrace);
  }

  private hear(message: FromTrainer): void {
    this.heardAt = Date.now();
    if (message.type === 'heartbeat') return;
    if (message.type === 'log') return this.relay(message.level, message.message);
    const { meter } = this.options;
    if (message.type === 'plan') meter.plan(message.resumedFromStep);
    if (message.type === 'metric') meter.metric(message.metric, message.trainedTokens);
    if (message.type === 'published') this.publishing = true;
    if (message.type === 'stopped' || message.type === 'failed') this.lastWord = message;
    else this.reports.push(message);
    // The process should end by itself now; what remains of it must not hold the slot.
    if (['stopped', 'failed', 'published'].includes(message.type))
      void this.killAfter(this.options.timings.stopGrace);
  }

  private relay(level: LogLevel, message: string): void {
    const { log, trainerEnv } = this.options;
    // The job's log is for its whole team; the store's secret is not.
    const clean = withoutSecrets(message, [trainerEnv.S3_SECRET_ACCESS_KEY ?? '']);
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

  private async listenForSilence(): Promise<void> {
    const { trainerSilence } = this.options.timings;
    while (!this.over.signal.aborted) {
      const left = this.heardAt + trainerSilence - Date.now();
      if (left <= 0) {
        this.killedFor ??= `the trainer said nothing for ${trainerSilence / 1000} s and was killed.`;
        this.trainer?.kill();
        return;
      }
      await pause(left, this.over.signal);
    }
  }

  private async killAfter(ms: number): Promise<void> {
    await pause(ms, this.over.signal);
    if (!this.over.signal.aborted) this.trainer?.kill();
  }

  private fence(): void {
    if (this.fenced) return;
    this.fenced = true;
    this.options.log.log('Fenced: the job has moved on. Ending its trainer.');
    this.trainer?.kill();
  }

  /** A report was refused: the trainer and the catalog disagree, and another attempt would disagree again. */
  private refuse(error: unknown): void {
    const message = `A report of the trainer was refused: ${messageOf(error)}`;
    this.options.log.warn(message);
    const refused = error instanceof LowrankError;
    this.refusal = { type: 'failed', code: refused ? error.code : 'internal', message, retryable: !refused };
    this.trainer?.kill();
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
    const { jobDir } = this.assignment;
    await rm(jobDir, { recursive: true, force: true }).catch((error) =>
      this.options.log.warn(`Could not remove ${jobDir}: ${messageOf(error)}`),
    );
    return end;
  }
}
