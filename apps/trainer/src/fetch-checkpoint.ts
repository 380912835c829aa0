import { LowrankError } from '@lowrank/contracts';
import { type Checkpoints, type StoredCheckpoint } from '@lowrank/storage';
import { placeCheckpoint } from '@lowrank/training';
import { BackOff, pause } from './back-off';

export interface FetchOptions {
  checkpoints: Pick<Checkpoints, 'list' | 'fetchTo'>;
  jobId: string;
  /** Folder of the job's checkpoints on this machine. */
  folder: string;
  /** Step of the last checkpoint that is known to be in the store. */
  mirroredStep: number;
  /** How long to wait for a store that is known to have a better checkpoint. */
  patienceMs: number;
  signal: AbortSignal;
  onMessage(level: 'info' | 'warn', message: string): void;
}

const codeOf = (error: unknown): string | null => (error instanceof LowrankError ? error.code : null);

/**
 * Puts the newest checkpoint of a run that the store has, and that is beyond a step, into the folder; false when there is none. One
 * that is damaged is passed over. When the store is away the checkpoint on this machine does, unless a later one is known of.
 * Errors: store_unavailable after the patience; the signal's reason.
 */
export async function fetchCheckpoint(options: FetchOptions, run: string, beyond: number): Promise<boolean> {
  const { mirroredStep, patienceMs, signal, onMessage } = options;
  const giveUpAt = performance.now() + patienceMs;
  const backOff = new BackOff();
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchNewest(options, run, beyond);
    } catch (error) {
      signal.throwIfAborted();
      if (codeOf(error) !== 'store_unavailable') throw error;
      const why = (error as LowrankError).message;
      if (mirroredStep <= beyond) {
        onMessage('warn', `the object store was not asked for a later checkpoint: ${why}`);
        return false;
      }
      if (performance.now() > giveUpAt) throw error;
      if (attempt === 1) onMessage('warn', `waiting for the checkpoint of step ${mirroredStep}: ${why}`);
      await pause(backOff.next(), signal);
      signal.throwIfAborted();
    }
  }
}

async function fetchNewest(options: FetchOptions, run: string, beyond: number): Promise<boolean> {
  const { checkpoints, jobId, onMessage } = options;
  for (const checkpoint of await checkpoints.list(jobId)) {
    if (checkpoint.step <= beyond) return false;
    try {
      await place(options, checkpoint, run);
      onMessage('info', `fetched the checkpoint of step ${checkpoint.step} from the object store`);
      return true;
    } catch (error) {
      const isUseless = ['integrity_failed', 'not_found', 'conflict'].includes(codeOf(error) ?? '');
      if (!isUseless) throw error;
      onMessage('warn', `${(error as LowrankError).message} It was passed over.`);
    }
  }
  return false;
}

const place = ({ checkpoints, folder, signal }: FetchOptions, checkpoint: StoredCheckpoint, run: string) =>
  placeCheckpoint(folder, checkpoint.step, (temporary) =>
    checkpoints.fetchTo(checkpoint, temporary, { run, signal }),
  );
