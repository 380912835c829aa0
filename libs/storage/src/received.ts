import { LowrankError } from '@lowrank/contracts';
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline, type Readable, Transform } from 'node:stream';

/** The same bytes, one chunk behind; fails instead of passing the last chunk when their SHA-256 is not the expected one. */
export function verified(source: Readable, sha256: string, complaint: string): Readable {
  const hash = createHash('sha256');
  let held: Buffer | undefined;
  const verifier = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      const passed = held;
      held = chunk;
      done(null, passed);
    },
    flush(done) {
      const found = hash.digest('hex');
      if (found === sha256) return done(null, held);
      done(
        new LowrankError('integrity_failed', `${complaint}: its SHA-256 is ${found} instead of ${sha256}.`),
      );
    },
  });
  // Ends both streams when either fails; whoever reads the second one gets the error.
  return pipeline(source, verifier, () => undefined);
}

/** Writes a stream to a file, which appears whole and synced, or not at all. Makes the file's folder if need be. */
export async function receive(body: Readable, file: string): Promise<void> {
  const partial = join(dirname(file), `.${basename(file)}.${randomUUID()}`);
  try {
    await mkdir(dirname(file), { recursive: true });
    const handle = await open(partial, 'wx');
    try {
      await writeFile(handle, body);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  } finally {
    body.destroy();
    await rm(partial, { force: true });
  }
}
