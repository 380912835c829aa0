import { before } from '../clock-and-ids';
import { type Ports } from '../ports';

/**
 * The advisory lock of blobs. Whoever writes a row that refers to blobs shares it from storing them, or finding them stored, to writing the row;
 * removal holds it alone. So no blob goes that somebody has just found to be there.
 */
export const blobsLock = 'blobs';

/** Blobs that are removed while the lock is held, which keeps others from publishing: some seconds at most. */
const together = 50;

export interface RemovedForGood {
  versions: number;
  blobs: number;
}

/**
 * Removes for good what was deleted before the retention: versions and adapters, checkpoints of jobs that ended before, and the blobs of those and of datasets, unless something else
 * refers to them. Somebody who publishes meanwhile has precedence: what is left waits for the next time.
 * `removeBlob` removes one from the object store, and has nothing against one that is gone.
 */
export async function removeForGood(
  { unitOfWork, clock }: Pick<Ports, 'unitOfWork' | 'clock'>,
  {
    retentionMs,
    removeBlob,
    signal,
    limit = 1000,
  }: { retentionMs: number; removeBlob(sha256: string): Promise<void>; signal?: AbortSignal; limit?: number },
): Promise<RemovedForGood> {
  const cutoff = before(clock.now(), retentionMs);
  const versions = await unitOfWork.run(({ retention }) => retention.removeVersions(cutoff, limit));
  await unitOfWork.run(({ retention }) => retention.removeAdapters(cutoff, limit));
  await unitOfWork.run(({ retention }) => retention.removeCheckpoints(cutoff, limit));
  let blobs = 0;
  for (let looked = 0; looked < limit && !signal?.aborted; looked += together) {
    const due = await unitOfWork.exclusively(blobsLock, async (lost) => {
      const some = await unitOfWork.run(({ retention }) => retention.discarded(cutoff, together));
      const gone = await unitOfWork.run(({ retention }) => retention.unreferenced(some));
      for (const sha256 of gone) {
        lost.throwIfAborted();
        await removeBlob(sha256);
      }
      blobs += gone.length;
      await unitOfWork.run(({ retention }) => retention.forget(some));
      return some.length;
    });
    if (due === undefined || due < together) break;
  }
  return { versions, blobs };
}
