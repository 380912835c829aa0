import { type StoredFile } from '@lowrank/contracts';
import { blobsLock, type ObjectStore, type UnitOfWork } from '@lowrank/domain';
import { Blobs } from '@lowrank/storage';

/** What a trainer has published, besides results that are no files. */
export interface Published {
  jobId: string;
  files: readonly StoredFile[];
}

/** Writes down what a trainer has stored. */
export interface Publishing {
  /** Its result. */
  publish<T>(published: Published, write: () => Promise<T>): Promise<T>;
  /** A state of its adapter, which is passed over when one of its files is gone: the next one will do. */
  keep(files: readonly StoredFile[], write: () => Promise<boolean>): Promise<boolean>;
}

/**
 * Writes while nobody removes blobs, and only if all files are there: the trainer may have found one of them stored, long before, that nothing referred
 * to any more. Then the manifest goes and the write is refused, by an error after which another attempt publishes again.
 */
export function publishingOn(unitOfWork: Pick<UnitOfWork, 'sharing'>, store: ObjectStore): Publishing {
  const blobs = new Blobs(store);
  const missing = async (files: readonly StoredFile[], lost: AbortSignal) => {
    const file = await blobs.missing(files);
    lost.throwIfAborted();
    return file;
  };
  return {
    publish: ({ jobId, files }, write) =>
      unitOfWork.sharing(blobsLock, async (lost) => {
        const gone = await missing(files, lost);
        if (gone === null) return write();
        await store.delete(`manifests/${jobId}.json`);
        throw new Error(`${gone.path} of what was published is not in the object store; it is made again.`);
      }),
    keep: (files, write) =>
      unitOfWork.sharing(blobsLock, async (lost) => ((await missing(files, lost)) === null ? write() : true)),
  };
}
