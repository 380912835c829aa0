import { type StoredFile } from '@lowrank/contracts';
import { type Blobs } from '@lowrank/storage';
import { type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';

/**
 * A tar archive of files in a folder `name`, made as it is read: never on disk, never whole in memory.
 * Each file is verified against its SHA-256; the first that is damaged destroys the stream.
 */
export function archiveOf(
  { name: folder, files, createdAt }: { name: string; files: readonly StoredFile[]; createdAt: string },
  blobs: Blobs,
): Readable {
  const tar = pack();
  const mtime = new Date(createdAt);
  const write = async () => {
    for (const { path, sha256, bytes } of files) {
      const { body } = await blobs.open(sha256);
      const name = `${folder}/${path}`;
      await pipeline(body, tar.entry({ name, size: bytes, mtime, mode: 0o644 }));
    }
    tar.finalize();
  };
  write().catch((error: Error) => tar.destroy(error));
  return tar as unknown as Readable;
}
