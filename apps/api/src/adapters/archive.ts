import { type AdapterVersion } from '@lowrank/contracts';
import { type Blobs } from '@lowrank/storage';
import { type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { pack } from 'tar-stream';

/**
 * A tar archive of a version's files in a folder `<adapter>-v<number>`, made as it is read: never on disk, never whole in memory.
 * Each file is verified against its SHA-256; the first that is damaged destroys the stream.
 */
export function archiveOf(version: AdapterVersion, blobs: Blobs): Readable {
  const tar = pack();
  const mtime = new Date(version.createdAt);
  const write = async () => {
    for (const { path, sha256, bytes } of version.files) {
      const { body } = await blobs.open(sha256);
      const name = `${version.adapter}-v${version.number}/${path}`;
      await pipeline(body, tar.entry({ name, size: bytes, mtime, mode: 0o644 }));
    }
    tar.finalize();
  };
  write().catch((error: Error) => tar.destroy(error));
  return tar as unknown as Readable;
}
