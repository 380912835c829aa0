import { LowrankError, sha256Schema } from '@lowrank/contracts';
import { type ObjectStore } from '@lowrank/domain';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { type Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { receive, verified } from './received';

export interface StoredBlob {
  sha256: string;
  bytes: number;
}

/** Where a blob lies in an object store. */
export function blobKey(sha256: string): string {
  if (!sha256Schema.safeParse(sha256).success)
    throw new LowrankError('validation_failed', `${JSON.stringify(sha256)} is not a SHA-256.`);
  return `blobs/${sha256.slice(0, 2)}/${sha256}`;
}

/** Files by their SHA-256, each stored once however often it is put, and checked whenever it is read. */
export class Blobs {
  constructor(private readonly store: ObjectStore) {}

  /** Stores a file unless its content is there already. The file must not change meanwhile: integrity_failed if it does. */
  async putFile(path: string): Promise<StoredBlob> {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
    const sha256 = hash.digest('hex');
    if (!(await this.#has(sha256, bytes))) {
      const complaint = `${basename(path)} changed while it was being stored`;
      await this.store.put(blobKey(sha256), verified(createReadStream(path), sha256, complaint), { bytes });
    }
    return { sha256, bytes };
  }

  /** Stores bytes that are in memory, unless they are there already. */
  async put(content: Uint8Array): Promise<StoredBlob> {
    const sha256 = createHash('sha256').update(content).digest('hex');
    const bytes = content.byteLength;
    if (!(await this.#has(sha256, bytes))) await this.store.put(blobKey(sha256), content, { bytes });
    return { sha256, bytes };
  }

  /**
   * A stream of the whole blob that checks its hash. The last chunk is held back until the check has passed, so that a reader
   * never has all bytes of a damaged blob: the stream then fails with integrity_failed. not_found when there is no such blob.
   */
  async open(sha256: string): Promise<{ body: Readable; bytes: number }> {
    const { body, bytes } = await this.store.get(blobKey(sha256));
    return { body: verified(body, sha256, `The stored blob ${sha256} is damaged`), bytes };
  }

  /** Reads a blob and checks its hash: not_found when there is none, integrity_failed when it is damaged. */
  async verify(sha256: string): Promise<void> {
    const { body } = await this.open(sha256);
    await finished(body.resume());
  }

  /** A stream of bytes [start, end) of a blob, which no hash can check: whoever puts parts together checks the whole. */
  async openPart(sha256: string, range: { start: number; end: number }): Promise<Readable> {
    return (await this.store.get(blobKey(sha256), range)).body;
  }

  /** Writes a blob to a file, which appears whole, checked and synced, or not at all. Makes the file's folder if need be. */
  async fetchTo(sha256: string, file: string): Promise<void> {
    const { body } = await this.open(sha256);
    await receive(body, file);
  }

  /** Of these files, the first that is not stored; null: all are. */
  async missing<T extends { sha256: string; bytes: number }>(files: readonly T[]): Promise<T | null> {
    for (const file of files) if (!(await this.#has(file.sha256, file.bytes))) return file;
    return null;
  }

  /** Removes a blob; no error when there is none. Whoever does so holds the lock of blobs alone (docs/adr/0025). */
  async remove(sha256: string): Promise<void> {
    await this.store.delete(blobKey(sha256));
  }

  async #has(sha256: string, bytes: number): Promise<boolean> {
    // A size that differs is a damaged blob, which storing it again repairs.
    return (await this.store.head(blobKey(sha256)))?.bytes === bytes;
  }
}
