import { type StoredFile } from '@lowrank/contracts';
import { blobsLock, type ObjectStore, type UnitOfWork } from '@lowrank/domain';
import { Blobs } from '@lowrank/storage';

/** What a trainer has published, besides results that are no files. */
export interface Published {
  jobId: string;
  files: readonly StoredFile[];
}

/** Writes down what a trainer has published. */
export type Publishing = <T>(published: Published, write: () => Promise<T>) => Promise<T>;

/**
 * Writes while nobody removes blobs, and only if all files are there: the trainer may have found one of them stored, long before, that nothing referred
 * to any more. Then the manifest goes and the write is refused, by an error after which another attempt publishes again.
 */
export const publishingOn =
  (unitOfWork: Pick<UnitOfWork, 'sharing'>, store: ObjectStore): Publishing =>
  ({ jobId, files }, write) =>
    unitOfWork.sharing(blobsLock, async (lost) => {
      const missing = await new Blobs(store).missing(files);
      lost.throwIfAborted();
      if (missing === null) return write();
      await store.delete(`manifests/${jobId}.json`);
      throw new Error(`${missing.path} of what was published is not in the object store; it is made again.`);
    });
