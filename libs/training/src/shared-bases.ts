import { type Base, type Kernels } from '@lowrank/kernels';
import { inTurn } from './in-turn';
import { TogetherBase } from './together';

/** A base in a kernel context of its own. */
export interface OpenedBase {
  base: Base;
  kernels: Kernels;
  /** Frees both. */
  close(): void;
}

interface SharedBase extends OpenedBase {
  together: TogetherBase;
  users: number;
}

/** The bases that jobs of one process train on together: one context and one mapped file for all that keep it alike and compute alike. */
export class SharedBases {
  private readonly bases = new Map<string, SharedBase>();

  /** Uses the base of a key, which the first of its users opens and the last closes. */
  async use<T>(
    key: string,
    open: () => Promise<OpenedBase>,
    work: (base: Base, kernels: Kernels) => Promise<T>,
  ): Promise<T> {
    // In turn, so that of several who come at once one opens it, and if that one fails or is stopped the next tries.
    const shared = await inTurn(`shared base ${key}`, async () => {
      const found = this.bases.get(key) ?? (await this.add(key, open));
      found.users += 1;
      return found;
    });
    const base = shared.together.join();
    try {
      return await work(base, shared.kernels);
    } finally {
      base.close();
      shared.users -= 1;
      if (shared.users === 0) {
        this.bases.delete(key);
        shared.close();
      }
    }
  }

  private async add(key: string, open: () => Promise<OpenedBase>): Promise<SharedBase> {
    const opened = await open();
    const shared = { ...opened, together: new TogetherBase(opened.base), users: 0 };
    this.bases.set(key, shared);
    return shared;
  }
}
