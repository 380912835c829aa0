import { type S3Config } from '@lowrank/config';
import { type ObjectStore } from '@lowrank/domain';
import { FolderStore } from './folder-store';
import { S3Store } from './s3-store';

export { blobKey, Blobs, type StoredBlob } from './blobs';
export { Checkpoints, type StoredCheckpoint } from './checkpoints';

/** The object store that the configuration names: S3 when it is given, else the folder (made when missing). */
export function createObjectStore(options: { s3: S3Config | null; folder: string }): ObjectStore {
  return options.s3 ? new S3Store(options.s3) : new FolderStore(options.folder);
}
