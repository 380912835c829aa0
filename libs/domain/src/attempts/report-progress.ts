import {
  type JobEvent,
  type JobMetric,
  type JobSamples,
  type JobState,
  type Manifest,
} from '@lowrank/contracts';
import { type Ports } from '../ports';
import { moveJob } from '../state-machine';
import { judgeTrial } from '../sweeps/asha';
import { superfluous } from '../jobs/checkpoints';
import { type AttemptRef, withAttempt } from './attempt';
import { assertSameJob } from './publish-version';

/*
 * What a worker writes down while a trainer runs: one transaction a report, each also a sign of life. Every function resolves to
 * false or `fenced`, having written nothing, when the attempt is fenced; the worker then ends the trainer.
 */
type ReportPorts = Omit<Ports, 'ids'>;

/** The trainer entered a phase. A phase that it is already in changes nothing. */
export async function reportPhase(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  phase: Extract<JobState, 'preparing' | 'running' | 'publishing'>,
): Promise<boolean> {
  const at = clock.now();
  const written = await withAttempt(unitOfWork, attempt, async (repositories, job) => {
    if (job.state !== phase)
      await moveJob(repositories, job, phase, {
        at,
        message: phaseMessages[job.work.kind][phase],
        patch: { heartbeatAt: at },
      });
    return true;
  });
  return written ?? false;
}

const preparing = 'Preparing base model and data.';
const phaseMessages = {
  train: { preparing, running: 'Training.', publishing: 'Publishing the adapter.' },
  combine: { preparing, running: 'Combining.', publishing: 'Publishing the adapter.' },
  evaluate: { preparing, running: 'Evaluating.', publishing: 'Publishing the results.' },
  export: { preparing, running: 'Exporting.', publishing: 'Publishing the export.' },
};

/**
 * What a worker is to do with an attempt: `cancel` it, have it `yield` its slot after a checkpoint, leave it because it is `fenced`, or
 * let it `go on`.
 */
export type AttemptOrder = 'go on' | 'cancel' | 'yield' | 'fenced';

const orderOf = (stops: boolean): AttemptOrder => (stops ? 'cancel' : 'go on');

/** A sign of life. Answers what is to be done. */
export async function reportHeartbeat(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
): Promise<AttemptOrder> {
  const answer = await withAttempt(unitOfWork, attempt, async ({ jobs }, job) => {
    await jobs.update(job.id, job.epoch, { heartbeatAt: clock.now() });
    if (job.cancelRequested) return 'cancel';
    return job.pauseRequested || job.preemptRequested ? 'yield' : 'go on';
  });
  return answer ?? 'fenced';
}

/**
 * The data are packed and the number of steps is known. An attempt that resumes drops the metrics and the kept states beyond its checkpoint, since it
 * will take those steps again, and writes those that the checkpoint brought along: the worker of the attempt before may not have. Answers
 * as reportMetrics does.
 */
export async function reportPlan(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  {
    totalSteps,
    resumedFromStep,
    metrics = [],
  }: { totalSteps: number; resumedFromStep: number; metrics?: JobMetric[] },
): Promise<AttemptOrder> {
  const at = clock.now();
  const order = await withAttempt(unitOfWork, attempt, async (repositories, job) => {
    const { checkpoints, jobs } = repositories;
    await jobs.truncateMetrics(job.id, resumedFromStep);
    const beyond = (await checkpoints.list(job.id)).filter(
      ({ step, version }) => step > resumedFromStep && version === null,
    );
    await checkpoints.remove(
      job.id,
      beyond.map(({ step }) => step),
    );
    await jobs.putMetrics(job.id, metrics);
    await jobs.update(job.id, job.epoch, { totalSteps, step: resumedFromStep, heartbeatAt: at });
    await jobs.appendEvent(job.id, {
      at,
      epoch: job.epoch,
      level: 'info',
      type: 'attempt',
      message:
        resumedFromStep > 0
          ? `Goes on from the checkpoint of step ${resumedFromStep} of ${totalSteps}.`
          : `Starts at the first of ${totalSteps} steps.`,
      state: null,
    });
    return orderOf(await judgeTrial(repositories, { ...job, totalSteps }, metrics, at));
  });
  return order ?? 'fenced';
}

/**
 * Metrics in the order they were taken, with the tokens trained on by the last of them. An empty batch is a heartbeat. A trial of a sweep
 * is judged by its evaluations, and the answer says so at once if it is to stop: what else is to be done, heartbeats tell.
 */
export async function reportMetrics(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  { metrics, trainedTokens }: { metrics: JobMetric[]; trainedTokens: number },
): Promise<AttemptOrder> {
  const at = clock.now();
  const order = await withAttempt(unitOfWork, attempt, async (repositories, job) => {
    const { jobs } = repositories;
    await jobs.putMetrics(job.id, metrics);
    const step = Math.max(job.step, ...metrics.map((metric) => metric.step));
    await jobs.update(job.id, job.epoch, { step, trainedTokens, heartbeatAt: at });
    return orderOf(await judgeTrial(repositories, job, metrics, at));
  });
  return order ?? 'fenced';
}

/** A step is done that has no metrics. */
export async function reportStep(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  step: number,
): Promise<boolean> {
  const written = await withAttempt(unitOfWork, attempt, ({ jobs }, job) =>
    jobs.update(job.id, job.epoch, { step, heartbeatAt: clock.now() }),
  );
  return written ?? false;
}

/** A checkpoint is safely on disk. One beyond all before it makes the attempt a fruitful one. */
export async function reportCheckpoint(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  { step, sha256 }: { step: number; sha256: string },
): Promise<boolean> {
  const at = clock.now();
  const written = await withAttempt(unitOfWork, attempt, async ({ jobs }, job) => {
    const progress =
      step > job.checkpointStep ? { checkpointStep: step, fruitlessAttempts: 0, deviceFailures: 0 } : {};
    await jobs.update(job.id, job.epoch, { ...progress, heartbeatAt: at });
    await jobs.appendEvent(job.id, {
      at,
      epoch: job.epoch,
      level: 'info',
      type: 'checkpoint',
      message: `Checkpoint of step ${step}, SHA-256 ${sha256}.`,
      state: null,
    });
    return true;
  });
  return written ?? false;
}

/** A checkpoint is in the object store, so that the job can go on from it on any machine. */
export async function reportMirrored(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  { step }: { step: number },
): Promise<boolean> {
  const written = await withAttempt(unitOfWork, attempt, ({ jobs }, job) =>
    jobs.update(job.id, job.epoch, { mirroredStep: step, heartbeatAt: clock.now() }),
  );
  return written ?? false;
}

/** A state of the adapter is in the object store as it can be published. Those that it makes superfluous go. */
export async function reportKept(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  manifest: Manifest,
): Promise<boolean> {
  const at = clock.now();
  const written = await withAttempt(unitOfWork, attempt, async ({ checkpoints, jobs }, job) => {
    assertSameJob(manifest, job);
    await checkpoints.put(job.id, manifest.metrics.steps, manifest, at);
    const { keep } = manifest.recipe.checkpoints;
    await checkpoints.remove(job.id, superfluous(await checkpoints.list(job.id), keep));
    return jobs.update(job.id, job.epoch, { heartbeatAt: at });
  });
  return written ?? false;
}

/** Answers that the adapter gives after so many steps. */
export async function reportSamples(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  { step, samples }: Pick<JobSamples, 'step' | 'samples'>,
): Promise<boolean> {
  const at = clock.now();
  const written = await withAttempt(unitOfWork, attempt, async ({ jobs }, job) => {
    await jobs.putSamples(job.id, { step, at, samples });
    return jobs.update(job.id, job.epoch, { heartbeatAt: at });
  });
  return written ?? false;
}

/** Something a trainer or its worker wants the user to read. */
export async function reportMessage(
  { unitOfWork, clock }: ReportPorts,
  attempt: AttemptRef,
  { level, message }: Pick<JobEvent, 'level' | 'message'>,
): Promise<boolean> {
  const at = clock.now();
  const written = await withAttempt(unitOfWork, attempt, async ({ jobs }, job) => {
    await jobs.update(job.id, job.epoch, { heartbeatAt: at });
    await jobs.appendEvent(job.id, { at, epoch: job.epoch, level, type: 'message', message, state: null });
    return true;
  });
  return written ?? false;
}
