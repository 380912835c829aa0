import { LowrankError } from '@lowrank/contracts';
import { type ObjectInfo, type ObjectStore, type ObjectUpload } from '@lowrank/domain';
import { randomUUID } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { Readable } from 'node:stream';
import { FolderParts } from './folder-parts';
import { incoming, SourceFailed } from './incoming';
import { assertKey, assertPrefix, clip } from './keys';
import { probeConditionalWrites } from './probe';

/** Where objects are written before they get their name; no key starts with a dot. */
const partialFolder = '.partial';
const staleAfterMs = 24 * 3600 * 1000;
/** Tries to give an object its name while others remove its folder. */
const nameAttempts = 10;

/**
 * Objects as files of one folder, their keys as paths. Every object is written beside the others, synced and then given its
 * name by one system call, so that a crash at any instant leaves the object whole or absent. One machine's processes may share
 * the folder. A key cannot lie "under" another (`a` and `a/b`).
 */
export class FolderStore implements ObjectStore {
  readonly #root: string;
  #probed = false;

  constructor(folder: string) {
    this.#root = folder;
  }

  async put(
    key: string,
    body: Readable | Uint8Array,
    options: { bytes: number; ifAbsent?: boolean },
  ): Promise<boolean> {
    assertKey(key);
    const partial = join(this.#root, partialFolder, randomUUID());
    return this.#translate(key, async () => {
      await mkdir(dirname(partial), { recursive: true });
      try {
        await writeSynced(partial, incoming(key, body, options.bytes));
        return await this.#name(partial, key, options.ifAbsent ?? false);
      } finally {
        await rm(partial, { force: true });
      }
    });
  }

  async get(key: string, range?: { start: number; end: number }): Promise<{ body: Readable; bytes: number }> {
    assertKey(key);
    const found = await this.#unlessMissing(key, async () => {
      await this.#assertInside(key);
      const file = await open(join(this.#root, key), constants.O_RDONLY | constants.O_NOFOLLOW);
      let body: Readable | undefined;
      try {
        const info = await file.stat();
        if (!info.isFile()) return null;
        const { start, end } = clip(key, info.size, range);
        // A read stream's `end` is inclusive, so an empty file has no valid one.
        if (end === start) return { body: Readable.from([]), bytes: 0 };
        body = file.createReadStream({ start, end: end - 1 });
        return { body, bytes: end - start };
      } finally {
        if (!body) await file.close();
      }
    });
    if (!found) throw new LowrankError('not_found', `There is no object ${key}.`);
    return found;
  }

  async signedUrl(key: string): Promise<null> {
    assertKey(key);
    return null;
  }

  readonly #parts = new FolderParts(this);
  readonly beginParts = (key: string) => this.#parts.beginParts(key);
  readonly signedPart = () => this.#parts.signedPart();
  readonly putPart: ObjectStore['putPart'] = (...args) => this.#parts.putPart(...args);
  readonly parts = (upload: ObjectUpload) => this.#parts.parts(upload);
  readonly completeParts = (upload: ObjectUpload) => this.#parts.completeParts(upload);
  readonly abortParts = (upload: ObjectUpload) => this.#parts.abortParts(upload);

  async head(key: string): Promise<ObjectInfo | null> {
    assertKey(key);
    return this.#unlessMissing(key, async () => {
      await this.#assertInside(key);
      const info = await lstat(join(this.#root, key));
      if (info.isSymbolicLink()) throw linked(key);
      return info.isFile() ? { bytes: info.size } : null;
    });
  }

  async delete(key: string): Promise<void> {
    assertKey(key);
    await this.#unlessMissing(key, async () => {
      await this.#assertInside(key);
      await rm(join(this.#root, key));
      await this.#removeEmptyFolders(dirname(key));
    });
  }

  async *list(prefix: string): AsyncIterable<string> {
    assertPrefix(prefix);
    const there = await this.#unlessMissing(prefix, async () => {
      await this.#assertInside(`${prefix}any`);
      return true;
    });
    if (there) yield* this.#walk(prefix);
  }

  async probe(): Promise<void> {
    await this.#translate('the probe', async () => {
      await mkdir(join(this.#root, partialFolder), { recursive: true });
      if (this.#probed) return;
      await this.#removeStalePartials();
      await probeConditionalWrites(this, `the folder ${this.#root}`);
      this.#probed = true;
    });
  }

  /** Gives a written object its name; false when ifAbsent and the name is taken. Its folder may be removed meanwhile, as an empty one. */
  async #name(partial: string, key: string, ifAbsent: boolean): Promise<boolean> {
    const target = join(this.#root, key);
    for (let attempt = 1; ; attempt++) {
      try {
        await makeFolders(dirname(target));
        await this.#assertInside(key);
        if (!ifAbsent) await rename(partial, target);
        else if (!(await linkUnlessPresent(partial, target))) return false;
        break;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || attempt === nameAttempts) throw error;
      }
    }
    // No folder: the object is deleted again already.
    await syncFolder(dirname(target)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    });
    return true;
  }

  /** Removes the folders that a deleted key leaves empty, so that what is listed stays as long as what there is. */
  async #removeEmptyFolders(folder: string): Promise<void> {
    for (let path = folder; path !== '.'; path = dirname(path)) {
      try {
        await rmdir(join(this.#root, path));
      } catch {
        // Not empty, or gone: somebody else sees to the ones above.
        return;
      }
    }
  }

  /** Keys below a folder in key order, which is the order of names when folders count with their '/'. */
  async *#walk(prefix: string): AsyncIterable<string> {
    const entries = await readdir(join(this.#root, prefix), { withFileTypes: true }).catch(
      (error: NodeJS.ErrnoException) => {
        // Removed since its parent was read.
        if (error.code === 'ENOENT') return [];
        throw unavailable(prefix, error);
      },
    );
    const name = (entry: Dirent) => (entry.isDirectory() ? `${entry.name}/` : entry.name);
    const names = entries.filter((entry) => entry.isDirectory() || entry.isFile()).map(name);
    for (const each of names.sort((a, b) => (a < b ? -1 : 1))) {
      if (each.endsWith('/')) yield* this.#walk(prefix + each);
      else yield prefix + each;
    }
  }

  /** Makes sure that no link on the way to a key leads out of the store. ENOENT when the key's folder is not there. */
  async #assertInside(key: string): Promise<void> {
    const root = await realpath(this.#root);
    const parent = await realpath(dirname(join(this.#root, key)));
    if (parent !== root && !parent.startsWith(root + sep)) throw linked(key);
  }

  async #removeStalePartials(): Promise<void> {
    const folder = join(this.#root, partialFolder);
    for (const name of await readdir(folder)) {
      const file = join(folder, name);
      const info = await stat(file).catch(() => null);
      if (info && Date.now() - info.mtimeMs > staleAfterMs) await rm(file, { force: true });
    }
  }

  async #unlessMissing<T>(key: string, work: () => Promise<T>): Promise<T | null> {
    return this.#translate(key, async () => {
      try {
        return await work();
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR') return null;
        throw error;
      }
    });
  }

  async #translate<T>(key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof SourceFailed) throw error.cause;
      if (error instanceof LowrankError) throw error;
      if ((error as NodeJS.ErrnoException).code === 'ELOOP') throw linked(key);
      throw unavailable(key, error);
    }
  }
}

async function writeSynced(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await writeFile(file, chunks);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Makes a folder and those above it, and syncs each parent, so that the new names survive a power cut. */
async function makeFolders(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let path = folder; path.length >= first.length; path = dirname(path)) await syncFolder(dirname(path));
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** link(2) fails when the name is there, so that of two racing writers exactly one gets true. */
async function linkUnlessPresent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

const linked = (key: string) =>
  new LowrankError(
    'integrity_failed',
    `${key} is, or lies behind, a link in the object store's folder.`,
    undefined,
    {
      help: 'Remove the link; the object store keeps plain files only.',
    },
  );
const unavailable = (key: string, cause: unknown) =>
  new LowrankError(
    'store_unavailable',
    `The object store's folder failed on ${key}: ${(cause as Error).message}`,
    undefined,
    { cause },
  );
