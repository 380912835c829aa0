import { type StoredFile } from '@lowrank/contracts';
import { inTurn } from '@lowrank/training';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';

/** An adapter as a request names it: its version's id, and its files. */
export interface StoredAdapter {
  id: string;
  files: readonly StoredFile[];
}

export interface AdapterFilesOptions {
  /** This server's own: nobody else reads or removes what is in it. */
  folder: string;
  /** Bytes that may lie there when nobody uses them. */
  diskBytes: number;
  /** Brings files that are not there. */
  fetch(folder: string, files: readonly StoredFile[]): Promise<void>;
}

interface Kept {
  bytes: number;
  users: number;
}

const sizeOf = (files: readonly Pick<StoredFile, 'bytes'>[]): number =>
  files.reduce((sum, { bytes }) => sum + bytes, 0);

/** Files of adapters on this server's disk, the longest unused of which go when they are too many. What was there at the last start counts. */
export class AdapterFiles {
  /** In the order of their last use. */
  private readonly kept = new Map<string, Kept>();
  private scanned: Promise<void> | null = null;
  private removed = 0;
  private pinned: ReadonlySet<string> = new Set();

  constructor(private readonly options: AdapterFilesOptions) {}

  get bytes(): number {
    return [...this.kept.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Adapters whose files made room for others, since this server began. */
  get evicted(): number {
    return this.removed;
  }

  /** From now on these stay, and only these, whatever others need. */
  pin(ids: Iterable<string>): void {
    this.pinned = new Set(ids);
  }

  /** Calls `work` with a folder for each adapter, all of which stay until it is done. Errors: those of `fetch` and of `work`. */
  async use<T>(
    adapters: readonly StoredAdapter[],
    work: (folders: readonly string[]) => Promise<T>,
  ): Promise<T> {
    await (this.scanned ??= this.scan());
    for (const { id, files } of adapters) this.begin(id, sizeOf(files));
    try {
      const folders: string[] = [];
      for (const { id, files } of adapters) {
        const folder = this.folderOf(id);
        // The order of use outlives this process in the times of the folders.
        await inTurn(folder, async () => {
          await this.options.fetch(folder, files);
          await utimes(folder, new Date(), new Date());
        });
        folders.push(folder);
      }
      return await work(folders);
    } finally {
      for (const { id } of adapters) (this.kept.get(id) as Kept).users -= 1;
      await this.tidy();
    }
  }

  private begin(id: string, bytes: number): void {
    const users = this.kept.get(id)?.users ?? 0;
    this.kept.delete(id);
    this.kept.set(id, { bytes, users: users + 1 });
  }

  private async tidy(): Promise<void> {
    for (const [id, { bytes, users }] of [...this.kept]) {
      if (this.bytes <= this.options.diskBytes) return;
      if (users > 0 || this.pinned.has(id) || bytes === 0) continue;
      this.kept.delete(id);
      this.removed += 1;
      // Whoever wants it again waits, and fetches it anew.
      await inTurn(this.folderOf(id), () =>
        this.kept.has(id) ? Promise.resolve() : rm(this.folderOf(id), { recursive: true, force: true }),
      );
    }
  }

  private folderOf(id: string): string {
    return join(this.options.folder, id);
  }

  private async scan(): Promise<void> {
    const { folder } = this.options;
    await mkdir(folder, { recursive: true });
    const found: { id: string; bytes: number; usedMs: number }[] = [];
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const at = join(folder, entry.name);
      const files = (await readdir(at, { withFileTypes: true, recursive: true })).filter((one) =>
        one.isFile(),
      );
      const sizes = await Promise.all(files.map((file) => stat(join(file.parentPath, file.name))));
      found.push({
        id: entry.name,
        bytes: sizes.reduce((sum, { size }) => sum + size, 0),
        usedMs: (await stat(at)).mtimeMs,
      });
    }
    found.sort((a, b) => a.usedMs - b.usedMs);
    for (const { id, bytes } of found) this.kept.set(id, { bytes, users: 0 });
  }
}
