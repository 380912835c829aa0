import { Logger } from '@nestjs/common';
import { type DrainMode, type JobWakeUp } from '@lowrank/contracts';
import { type AttemptRef, claimAttempt, type Ports } from '@lowrank/domain';
import { beginSpan, spanned, traceIdNow, traceparentNow } from '@lowrank/telemetry';
import { makeAssignment, type Workplace } from './attempts/assignment';
import { type AttemptLog, AttemptRun } from './attempts/attempt-run';
import { trainerEnvironment } from './attempts/trainer-process';
import { type WorkerMetrics } from './metrics/worker-metrics';
import { type Timings } from './settings';

export interface SupervisorOptions {
  ports: Ports;
  workerId: string;
  workplace: Workplace;
  timings: Timings;
  metrics: WorkerMetrics;
  /** Removes the checkpoints of a job that has ended. */
  clearUp(attempt: AttemptRef): Promise<void>;
  /** Compiled main file of the trainer. */
  trainerEntry: string;
  env: NodeJS.ProcessEnv;
}

/** Turns wake-ups into attempts that run, and asks them all to stop when the worker is leaving. */
export class Supervisor {
  private readonly runs = new Set<AttemptRun>();
  private draining = false;
  private drainMode: DrainMode | null = null;

  constructor(private readonly options: SupervisorOptions) {}

  /** Runs the attempt that a wake-up is for and resolves when its job is settled. A stale wake-up does nothing. */
  async handle(wakeUp: JobWakeUp): Promise<void> {
    // Unclaimed, the job stays queued, and the reconciler wakes it for another worker.
    if (this.draining || this.drainMode !== null) return;
    // The release before wakes whoever listens, whether a slot is free or not.
    if (wakeUp.workerId === null && this.runs.size >= this.options.workplace.slots) return;
    const { ports, workerId, workplace, timings, metrics, clearUp, trainerEntry, env } = this.options;
    const claimed = await claimAttempt(ports, wakeUp, workerId);
    if (claimed === null) return;
    // By whatever way the job came here, it goes on where it was submitted.
    const parent = wakeUp.traceparent ?? claimed.job.traceparent;
    const attributes = { 'lowrank.job.id': wakeUp.jobId, 'lowrank.attempt': wakeUp.epoch };
    if (parent)
      beginSpan('wait for a slot', { parent, attributes, startTime: new Date(claimed.job.queuedAt) }).end();
    const attempt = () =>
      metrics.attempt(claimed.job, async (meter) => {
        const traceId = traceIdNow();
        const about = { jobId: wakeUp.jobId, attempt: wakeUp.epoch };
        const log = attemptLog(traceId === null ? about : { ...about, traceId });
        const trainerEnv = trainerEnvironment(env);
        const options = { ports, timings, trainerEntry, trainerEnv, log, meter, clearUp };
        const run = new AttemptRun(makeAssignment(claimed, workplace, traceparentNow()), options);
        this.runs.add(run);
        try {
          if (this.draining || this.drainMode === 'checkpoint') run.stop('drain');
          log.log(`Claimed: adapter ${claimed.job.adapter} on ${claimed.baseModel.name}.`);
          const end = await run.run();
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
