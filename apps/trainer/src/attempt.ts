import {
  evaluationManifestSchema,
  exportManifestSchema,
  LowrankError,
  manifestSchema,
  type Assignment,
  type JobMessage,
  type JobMetric,
  type LogLevel,
  type Manifest,
} from '@lowrank/contracts';
import { type Blobs, type createObjectStore } from '@lowrank/storage';
import { spanned } from '@lowrank/telemetry';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  modelKey,
  runTraining,
  type Ranks,
  type SharedBases,
  type StartingPoint,
} from '@lowrank/training';
import { join } from 'node:path';
import { type AttemptCheckpoints, withCheckpoints } from './attempt-checkpoints';
import { CheckpointKeeper } from './checkpoint-keeper';
import { combineAndPublish } from './combine-attempt';
import { evaluateAndPublish } from './evaluate-attempt';
import { exportAndPublish } from './export-attempt';
import { fetchFiles } from './fetch-files';
import { fetchBase, fetchDataset } from './fetch-inputs';
import { type ManifestSchema, publish, readManifest, storeVersion } from './publish';
import { StepSpans } from './step-spans';

/** The dataset was checked when it was uploaded, under a limit that may have been raised since: this is the highest there is. */
export const MAX_LINE_BYTES = 2 ** 30;

export interface AttemptOptions {
  assignment: Assignment;
  store: ReturnType<typeof createObjectStore>;
  blobs: Blobs;
  /** Shared with the other attempts of this process, if there are any. */
  bases?: SharedBases;
  /** The GPUs that train together here; left out: one. */
  ranks?: Ranks;
  /** Least time between two checkpoints that are copied to the object store; null: none is. */
  mirrorIntervalMs: number | null;
  signal: AbortSignal;
  /** Step of the last checkpoint of this attempt that the worker has written down, with everything before it. */
  writtenStep(): number;
  send(message: JobMessage): void;
  /** Writes a line of the job's log. */
  log(level: LogLevel, message: string): void;
}

/** At most one line of progress in this time. */
const PROGRESS_EVERY_MS = 10_000;

/** Lines for the job's log: all evaluations, and now and then a step. */
function progressLog(log: (level: LogLevel, message: string) => void): (metric: JobMetric) => void {
  let writtenAt = -Infinity;
  return ({ kind, step, loss, tokensPerSecond }) => {
    if (kind === 'eval') return log('info', `held-out loss after step ${step}: ${loss.toFixed(4)}`);
    if (performance.now() - writtenAt < PROGRESS_EVERY_MS) return;
    writtenAt = performance.now();
    log('info', `step ${step}: loss ${loss.toFixed(4)}, ${Math.round(tokensPerSecond ?? 0)} tokens/s`);
  };
}

/**
 * One attempt: files from the object store, the job's work, files and manifest to the object store. Returns the last message about it, with
 * the manifest that counts: of this attempt, or of an earlier one that was published but never reported.
 * Throws TrainingStopped, the signal's reason, LowrankError.
 */
export async function runAttempt(options: AttemptOptions): Promise<JobMessage> {
  const { assignment, send } = options;
  const { work } = assignment;
  send({ type: 'phase', phase: 'preparing' });
  switch (work.kind) {
    case 'train': {
      const train = () => withCheckpoints(options, (checkpoints) => trainAndPublish(options, checkpoints));
      return { type: 'published', manifest: await onceOnly(options, manifestSchema, train) };
    }
    case 'combine': {
      const combine = () => combineAndPublish(options, work);
      return { type: 'published', manifest: await onceOnly(options, manifestSchema, combine) };
    }
    case 'export': {
      const write = () => exportAndPublish(options, work);
      return { type: 'exported', manifest: await onceOnly(options, exportManifestSchema, write) };
    }
    case 'evaluate': {
      const evaluate = () => evaluateAndPublish(options, work);
      return { type: 'evaluated', manifest: await onceOnly(options, evaluationManifestSchema, evaluate) };
    }
  }
}

/** Does the work unless an earlier attempt has published what came of it. */
async function onceOnly<T extends { epoch: number }>(
  { store, assignment, log }: AttemptOptions,
  schema: ManifestSchema<T>,
  work: () => Promise<T>,
): Promise<T> {
  const earlier = await readManifest(store, assignment.jobId, schema);
  if (earlier === null) return work();
  log('info', `attempt ${earlier.epoch} has published already`);
  return earlier;
}

/** The files of the version that training starts from; a folder by their content, which all trainers of the machine share. */
async function fetchStart(options: AttemptOptions): Promise<StartingPoint | null> {
  const { initFrom, cacheDir } = options.assignment;
  if (initFrom === null) return null;
  const { adapter, number } = initFrom;
  const files = initFrom.files.filter(({ path }) => path === ADAPTER_CONFIG || path === ADAPTER_WEIGHTS);
  const key = modelKey(files);
  const dir = join(cacheDir, 'adapters', key);
  await fetchFiles(options, dir, files);
  options.log('info', `starts from the weights of ${adapter} v${number}`);
  return { name: `${adapter} v${number}`, key, dir };
}

async function trainAndPublish(options: AttemptOptions, checkpoints: AttemptCheckpoints): Promise<Manifest> {
  const { assignment, bases, ranks, signal, writtenStep, send, log } = options;
  const { epoch, baseModel, dataset, validationDataset, recipe, cacheDir, threads } = assignment;
  log('info', `attempt ${epoch}: adapter ${assignment.adapter} on ${baseModel.name}, ${threads} threads`);

  const base = await fetchBase(options);
  const fetched = await fetchDataset(options, dataset);
  const validation = validationDataset && (await fetchDataset(options, validationDataset));
  const initFrom = await fetchStart(options);

  const onMessage = (level: 'info' | 'warn', message: string) => {
    log(level, message);
    send({ type: 'message', level, message });
  };
  const keeper = new CheckpointKeeper({
    store: (state) => storeVersion(options, { ...state, recipe, checkpointStep: state.metrics.steps }),
    onKept: (manifest) => send({ type: 'kept', manifest }),
    onMessage,
  });
  const logProgress = progressLog(log);
  const steps = new StepSpans();
  const trained = await keeper.during(() =>
    runTraining({
      recipe,
      adapter: assignment.adapter,
      base: { source: baseModel.source, revision: baseModel.revision, ...base },
      initFrom,
      dataset: fetched,
      validationDataset: validation,
      maxLineBytes: MAX_LINE_BYTES,
      cacheDir,
      checkpointsDir: checkpoints.folder,
      fetchCheckpoint: checkpoints.fetch,
      threads,
      bases,
      ranks,
      signal,
      onMessage,
      writtenStep,
      onPlan: (totalSteps, resumedFromStep, metrics) => {
        log('info', `${totalSteps} steps, from step ${resumedFromStep}`);
        send({ type: 'plan', totalSteps, resumedFromStep, ...(metrics.length > 0 && { metrics }) });
        send({ type: 'phase', phase: 'running' });
      },
      onMetric: (metric, trainedTokens) => {
        logProgress(metric);
        steps.take(metric);
        send({ type: 'metric', metric, trainedTokens });
      },
      onSamples: (step, samples) => send({ type: 'samples', step, samples }),
      onKept: (state) => keeper.offer(state),
      onCheckpoint: (step, sha256) => {
        steps.end();
        log('info', `checkpoint of step ${step}`);
        send({ type: 'checkpoint', step, sha256 });
        checkpoints.written(step);
      },
    }),
  );

  steps.end();
  signal.throwIfAborted();
  send({ type: 'phase', phase: 'publishing' });
  const files = trained.files.map(({ path }) => path).join(', ');
  log('info', `publishing ${files}`);
  return spanned('publish', async () =>
    publish(
      options,
      manifestSchema,
      await storeVersion(options, { ...trained, recipe, checkpointStep: null }),
    ),
  );
}

/** What the worker is told about a failure. Failures of this machine or of the store may pass; those of the job do not. */
export function failureOf(error: unknown): JobMessage & { type: 'failed' } {
  const system = (error as NodeJS.ErrnoException | null)?.code;
  if (system === 'ENOSPC' || system === 'EDQUOT')
    return {
      type: 'failed',
      code: 'disk_full',
      message: "the worker's disk is full",
      retryable: true,
    };
  if (!(error instanceof LowrankError)) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { type: 'failed', code: 'internal', message: message.slice(0, 2000), retryable: true };
  }
  const retryable = ['store_unavailable', 'out_of_memory', 'device_failed', 'internal'].includes(error.code);
  return { type: 'failed', code: error.code, message: error.message, retryable };
}
