import { Logger } from '@nestjs/common';
import { type DrainMode, type JobWakeUp } from '@lowrank/contracts';
import { type AttemptRef, claimAttempt, type JobWithInputs, type Ports } from '@lowrank/domain';
import { beginSpan, spanned, traceIdNow, traceparentNow } from '@lowrank/telemetry';
import { makeAssignment, type Workplace } from './attempts/assignment';
import { type AttemptLog, AttemptRun } from './attempts/attempt-run';
import { SharedTrainer } from './attempts/shared-trainer';
import { trainerEnvironment } from './attempts/trainer-process';
import { type WorkerMetrics } from './metrics/worker-metrics';
import { type Publishing } from './publication';
import { type Timings } from './settings';

export interface SupervisorOptions {
  ports: Ports;
  workerId: string;
  workplace: Workplace;
  timings: Timings;
  metrics: WorkerMetrics;
  /** Removes the checkpoints of a job that has ended. */
  clearUp(attempt: AttemptRef): Promise<void>;
  publishing: Publishing;
  /** What is known to be wrong with what trainers compute on; null: nothing. */
  deviceProblem(): string | null;
  /** Compiled main file of the trainer. */
  trainerEntry: string;
  env: NodeJS.ProcessEnv;
}

/** Turns wake-ups into attempts that run, and asks them all to stop when the worker is leaving. */
export class Supervisor {
  private readonly runs = new Set<AttemptRun>();
  /** Slots that are taken: a trainer has one, however many jobs it trains. */
  private busy = 0;
  private draining = false;
  private drainMode: DrainMode | null = null;

  constructor(private readonly options: SupervisorOptions) {}

  /**
   * Runs the attempt that a wake-up is for, with those that are claimed with it, and resolves when all their jobs are settled. A stale
   * wake-up does nothing.
   */
  async handle(wakeUp: JobWakeUp): Promise<void> {
    // Unclaimed, the job stays queued, and the reconciler wakes it for another worker.
    if (this.draining || this.drainMode !== null) return;
    const { ports, workerId, workplace, timings, trainerEntry: entry, env } = this.options;
    // The release before wakes whoever listens, whether a slot is free or not.
    if (wakeUp.workerId === null && this.busy >= workplace.slots) return;
    const claimed = await claimAttempt(ports, wakeUp, workerId, workplace.jobsPerTrainer);
    if (claimed === null) return;
    this.busy += 1;
    try {
      const trainer = new SharedTrainer({ entry, env: trainerEnvironment(env), timings });
      // Each joins the trainer before its first await.
      const attempts = [
        this.attempt(trainer, claimed, wakeUp.traceparent),
        ...claimed.companions.map((companion) => this.attempt(trainer, companion)),
      ];
      trainer.start();
      const ends = await Promise.allSettled(attempts);
      for (const end of ends) if (end.status === 'rejected') throw end.reason;
    } finally {
      this.busy -= 1;
    }
  }

  private async attempt(
    trainer: SharedTrainer,
    claimed: JobWithInputs,
    traceparent: string | null = null,
  ): Promise<void> {
    const { ports, workplace, timings, metrics, clearUp, publishing, deviceProblem, env } = this.options;
    const { job, baseModel } = claimed;
    const about = { jobId: job.id, attempt: job.epoch };
    // By whatever way the job came here, it goes on where it was submitted.
    const parent = traceparent ?? job.traceparent;
    const attributes = { 'lowrank.job.id': job.id, 'lowrank.attempt': job.epoch };
    if (parent) beginSpan('wait for a slot', { parent, attributes, startTime: new Date(job.queuedAt) }).end();
    const attempt = () =>
      metrics.attempt(job, async (meter) => {
        const traceId = traceIdNow();
        const log = attemptLog(traceId === null ? about : { ...about, traceId });
        const secrets = [env.S3_SECRET_ACCESS_KEY ?? ''];
        const options = { ports, timings, secrets, log, meter, clearUp, publishing, deviceProblem };
        const run = new AttemptRun(makeAssignment(claimed, workplace, traceparentNow()), options);
        this.runs.add(run);
        try {
          if (this.draining || this.drainMode === 'checkpoint') run.stop('drain');
          log.log(`Claimed: adapter ${job.adapter} on ${baseModel.name}.`);
          const end = await run.run(trainer);
          log.log(`Ended: ${end}.`);
          return end;
        } finally {
          this.runs.delete(run);
        }
      });
    await spanned('attempt', async (span) => span.setAttribute('lowrank.outcome', await attempt()), {
      kind: 'consumer',
      parent,
      attributes,
    });
  }

  /** Whether nothing trains here. */
  get isIdle(): boolean {
    return this.busy === 0;
  }

  /** What somebody wants of this worker: no more attempts, and with `checkpoint` none of those that run either; null: that it works. */
  setDrain(mode: DrainMode | null): void {
    this.drainMode = mode;
    if (mode === 'checkpoint') for (const run of this.runs) run.stop('drain');
  }

  /** For good: takes no more attempts and asks those that run to write a checkpoint and stop. */
  drain(): void {
    this.draining = true;
    for (const run of this.runs) run.stop('drain');
  }
}

/** Lines about one attempt, each with what it is about as fields of its own. */
function attemptLog(about: { jobId: string; attempt: number; traceId?: string }): AttemptLog {
  const logger = new Logger('Attempt');
  return {
    debug: (msg) => logger.debug({ ...about, msg }),
    log: (msg) => logger.log({ ...about, msg }),
    warn: (msg) => logger.warn({ ...about, msg }),
  };
}
