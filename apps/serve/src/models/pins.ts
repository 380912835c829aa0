import { LowrankError, type PinState, type ServeTarget, serveTargetSchema } from '@lowrank/contracts';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { type Model, type Models } from './models';
import { mebibytes } from './room';
import { type Held } from './shelf';

/** What is pinned: a version on its base. */
type Pinned = ServeTarget & { adapter: NonNullable<ServeTarget['adapter']> };

export interface PinsOptions {
  models: Models;
  /** Bytes of memory that pins may take, with the bases that they need. */
  memoryBytes: number;
  /** Where the pins are written down, so that they are loaded before the first request after a start. */
  file: string;
}

/** Adapters that stay in memory and on disk, whatever else is asked for, until they are declared no more. */
export class Pins {
  private readonly held = new Map<string, Held<Model>>();
  private readonly refused = new Map<string, LowrankError>();
  /** One declaration after the other. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: PinsOptions) {}

  /** By the ids of versions. */
  get states(): PinState[] {
    const loaded = [...this.held].map(([id, { value }]) => ({
      id,
      state: 'loaded' as const,
      bytes: value.memory.adapter,
      reason: null,
    }));
    const refused = [...this.refused].map(([id, error]) => ({
      id,
      state: 'refused' as const,
      bytes: 0,
      reason: { code: error.code, message: error.message },
    }));
    return [...loaded, ...refused];
  }

  /** What the pins take, each of their bases once. */
  get bytes(): number {
    const models = [...this.held.values()].map(({ value }) => value);
    const bases = new Map(models.map(({ batch, memory }) => [batch, memory.base]));
    return [...bases.values(), ...models.map(({ memory }) => memory.adapter)].reduce((a, b) => a + b, 0);
  }

  /** Pins these, and these alone. One that cannot be loaded is refused with the reason, and tried again with the next declaration. */
  declare(targets: readonly Pinned[]): Promise<PinState[]> {
    return this.inTurn(async () => {
      await this.apply(targets);
      await this.write(targets);
      return this.states;
    });
  }

  /** Pins what was declared last before this server began. */
  restore(): Promise<void> {
    return this.inTurn(async () => {
      await this.apply(await this.read());
    });
  }

  /** Releases all. */
  async close(): Promise<void> {
    await this.inTurn(() => this.apply([]));
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async apply(targets: readonly Pinned[]): Promise<void> {
    const wanted = new Map(targets.map((target) => [target.adapter.id, target]));
    this.options.models.keepFiles(wanted.keys());
    for (const [id, held] of [...this.held]) {
      if (wanted.has(id)) continue;
      this.held.delete(id);
      held.release();
    }
    this.refused.clear();
    for (const [id, target] of wanted) if (!this.held.has(id)) await this.pin(id, target);
  }

  private async pin(id: string, target: Pinned): Promise<void> {
    try {
      this.held.set(id, await this.options.models.hold(target));
      const { bytes } = this;
      if (bytes <= this.options.memoryBytes) return;
      const held = this.held.get(id) as Held<Model>;
      this.held.delete(id);
      held.release();
      throw new LowrankError(
        'server_memory_short',
        `With this one, pins would take ${mebibytes(bytes)} of memory here; ${mebibytes(this.options.memoryBytes)} are available.`,
      );
    } catch (error) {
      this.refused.set(
        id,
        error instanceof LowrankError ? error : new LowrankError('internal', (error as Error).message),
      );
    }
  }

  /** What is written down; nothing where it cannot be read, since whoever declares pins does so again. */
  private async read(): Promise<Pinned[]> {
    try {
      const known: unknown = JSON.parse(await readFile(this.options.file, 'utf8'));
      return z.array(serveTargetSchema).parse(known).filter(isPinned);
    } catch {
      return [];
    }
  }

  private async write(targets: readonly Pinned[]): Promise<void> {
    const { file } = this.options;
    await mkdir(dirname(file), { recursive: true });
    await writeFile(`${file}.new`, JSON.stringify(targets));
    await rename(`${file}.new`, file);
  }
}

const isPinned = (target: ServeTarget): target is Pinned => target.adapter !== null;
