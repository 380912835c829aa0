import { codeOf } from '@lowrank/testing';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { blobKey, Blobs } from './blobs';
import { FolderStore } from './folder-store';

describe('Blobs', () => {
  let folder: string;
  let blobs: Blobs;
  const content = randomBytes(300_001);
  const sha256 = createHash('sha256').update(content).digest('hex');
  const stored = () => join(folder, 'objects', blobKey(sha256));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-blobs-'));
    blobs = new Blobs(new FolderStore(join(folder, 'objects')));
    await writeFile(join(folder, 'file'), content);
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Damages one byte of the stored blob. */
  const flip = async (at: number) => {
    const file = await open(stored(), 'r+');
    await file.write(Buffer.from([(content[at] ?? 0) ^ 1]), 0, 1, at);
    await file.close();
  };

  it('stores a file under its SHA-256 and gives it back', async () => {
    expect(await blobs.putFile(join(folder, 'file'))).toEqual({ sha256, bytes: content.length });
    const { body, bytes } = await blobs.open(sha256);
    expect(bytes).toBe(content.length);
    expect((await buffer(body)).equals(content)).toBe(true);
  });

  it('stores equal content once, from a file or from memory', async () => {
    await blobs.putFile(join(folder, 'file'));
    await flip(5);
    // Still the damaged bytes: nothing was written a second time.
    expect(await blobs.put(content)).toEqual({ sha256, bytes: content.length });
    expect((await readFile(stored())).equals(content)).toBe(false);
  });

  it('repairs a blob of the wrong length by storing it again', async () => {
    await blobs.put(content);
    await writeFile(stored(), 'short');
    await blobs.putFile(join(folder, 'file'));
    expect((await readFile(stored())).equals(content)).toBe(true);
  });

  it('stores an empty file', async () => {
    const empty = await blobs.put(new Uint8Array());
    expect(empty.bytes).toBe(0);
    expect(await buffer((await blobs.open(empty.sha256)).body)).toHaveLength(0);
  });

  it.each([0, 150_000, content.length - 1])(
    'refuses a blob with byte %i flipped, short of its end',
    async (at) => {
      await blobs.putFile(join(folder, 'file'));
      await flip(at);
      let seen = 0;
      const read = async () => {
        for await (const chunk of (await blobs.open(sha256)).body as AsyncIterable<Buffer>)
          seen += chunk.length;
      };
      expect(await codeOf(read())).toBe('integrity_failed');
      expect(seen).toBeLessThan(content.length);
    },
  );

  it('fetches to a file whole or not at all', async () => {
    await blobs.putFile(join(folder, 'file'));
    const target = join(folder, 'cache/deep/copy');
    await blobs.fetchTo(sha256, target);
    expect((await readFile(target)).equals(content)).toBe(true);
    await flip(7);
    await writeFile(target, 'before');
    expect(await codeOf(blobs.fetchTo(sha256, target))).toBe('integrity_failed');
    expect(await readFile(target, 'utf8')).toBe('before');
    expect(await readdir(join(folder, 'cache/deep'))).toEqual(['copy']);
  });

  it('says what is missing and what is no hash', async () => {
    expect(await codeOf(blobs.open(sha256))).toBe('not_found');
    expect(await codeOf(blobs.fetchTo(sha256, join(folder, 'x/y')))).toBe('not_found');
    expect(await codeOf(blobs.open('../../etc/passwd'))).toBe('validation_failed');
    await expect(blobs.putFile(join(folder, 'absent'))).rejects.toThrow('ENOENT');
  });
});
