import { Checkpoints } from '@lowrank/storage';
import { join } from 'node:path';
import { type AttemptOptions } from './attempt';
import { CheckpointMirror } from './checkpoint-mirror';
import { fetchCheckpoint } from './fetch-checkpoint';

/** From a drain to the end of the wait for the object store: less than the worker's patience with its trainer. */
const finishMs = 45_000;
/** How long an attempt waits for a checkpoint that only the object store has. */
const patienceMs = 600_000;

/** An attempt's checkpoints: on this machine, and in the object store. */
export interface AttemptCheckpoints {
  /** Where they lie on this machine. */
  folder: string;
  /** RunOptions.fetchCheckpoint. */
  fetch(run: string, beyond: number): Promise<boolean>;
  /** One was written on this machine: it is copied to the object store meanwhile. */
  written(step: number): void;
}

/**
 * Has checkpoints copied to the object store while `work` trains. When it is stopped in order to go on elsewhere, the last one is waited
 * for. Attempts before this one copy nothing more.
 */
export async function withCheckpoints<T>(
  { assignment, store, signal, mirrorIntervalMs, send, log }: AttemptOptions,
  work: (checkpoints: AttemptCheckpoints) => Promise<T>,
): Promise<T> {
  const { jobId, epoch, jobDir, mirroredStep } = assignment;
  const checkpoints = new Checkpoints(store);
  const folder = join(jobDir, 'checkpoints');
  const onMessage = (level: 'info' | 'warn', message: string) => {
    log(level, message);
    send({ type: 'message', level, message });
  };
  const mirror = new CheckpointMirror({
    ...{ checkpoints, attempt: { jobId, epoch }, folder, intervalMs: mirrorIntervalMs, onMessage, log },
    onMirrored: (step) => send({ type: 'mirrored', step }),
  });
  let stoppedAt = 0;
  signal.addEventListener('abort', () => (stoppedAt = performance.now()), { once: true });
  const from = { checkpoints, jobId, folder, mirroredStep, patienceMs, signal, onMessage };
  await checkpoints.begin({ jobId, epoch });
  try {
    return await work({
      folder,
      fetch: (run, beyond) => fetchCheckpoint(from, run, beyond),
      written: (step) => mirror.offer(step),
    });
  } catch (error) {
    if (signal.reason === 'drain') await mirror.finish(stoppedAt + finishMs - performance.now());
    throw error;
  } finally {
    await mirror.stop();
  }
}
