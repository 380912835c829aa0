import { LowrankError } from '@lowrank/contracts';
import { type AddressedWakeUp, type JobQueue } from '../ports/job-queue';
import { Bell } from '../bell';
import { type Deed } from '../ports/audit';
import { type News } from '../ports/outbox';
import { type Repositories, type UnitOfWork } from '../ports/repositories';
import { repositoriesOf } from './memory-repositories';
import { copyOf, emptyTables, type Tables } from './tables';

/**
 * The ports of Postgres in memory: a transaction works on a copy of all tables, which replaces them when it succeeds. Transactions
 * run one at a time, so locks have nothing to do.
 */
export class MemoryUnitOfWork implements UnitOfWork {
  tables: Tables = emptyTables();
  private last: Promise<unknown> = Promise.resolve();
  private readonly held = new Map<string, Bell>();

  run<T>(work: (repositories: Repositories) => Promise<T>, deed: Deed | null = null): Promise<T> {
    const turn = this.last.then(async () => {
      const draft = copyOf(this.tables);
      const result = await work(copying(repositoriesOf(draft, deed)));
      for (const lock of draft.told.splice(0)) this.held.get(lock)?.ring();
      this.tables = draft;
      return result;
    });
    this.last = turn.catch(() => undefined);
    return turn;
  }

  runLightly<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    return this.run(work);
  }

  forTeam(): UnitOfWork {
    return this;
  }

  forDeed(deed: Deed): UnitOfWork {
    const run: UnitOfWork['run'] = (work) => this.run(work, deed);
    const own: UnitOfWork = {
      ...{ run, runLightly: run, look: run, read: run },
      forTeam: () => own,
      forDeed: (other) => this.forDeed(other),
      get acrossTeams() {
        return own;
      },
      exclusively: (lock, work) => this.exclusively(lock, work),
      sharing: (lock, work) => this.sharing(lock, work),
      ping: () => this.ping(),
      close: () => this.close(),
    };
    return own;
  }

  get acrossTeams(): UnitOfWork {
    return this;
  }

  look<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    return this.run(work);
  }

  read<T>(work: (repositories: Repositories) => Promise<T>): Promise<T> {
    return this.run(work);
  }

  async exclusively<T>(
    lock: string,
    work: (lost: AbortSignal, news: News) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.held.has(lock)) return undefined;
    const news = new Bell();
    this.held.set(lock, news);
    try {
      return await work(new AbortController().signal, news);
    } finally {
      this.held.delete(lock);
    }
  }

  /** Whoever holds it alone never waits in between for anything that others here do. */
  sharing<T>(_lock: string, work: (lost: AbortSignal) => Promise<T>): Promise<T> {
    return work(new AbortController().signal);
  }

  async ping(): Promise<string> {
    return new Date().toISOString();
  }
  async close(): Promise<void> {}
}

/** Rows go in and out as copies, as over a wire: what a caller does with them afterwards changes no table. */
function copying(repositories: Repositories): Repositories {
  const copied =
    (method: (...args: unknown[]) => Promise<unknown>) =>
    async (...args: unknown[]) =>
      structuredClone(await method(...structuredClone(args)));
  const entries = Object.entries(repositories).map(([name, repository]) => [
    name,
    Object.fromEntries(Object.entries(repository).map(([key, method]) => [key, copied(method as never)])),
  ]);
  return Object.fromEntries(entries) as Repositories;
}

/** A queue that remembers what it was told, once per job, epoch and worker, and can be told to fail. */
export class MemoryQueue implements JobQueue {
  readonly wakeUps: string[] = [];
  readonly forgotten: string[] = [];
  failAfter = Infinity;

  async wake({ jobId, epoch, workerId }: AddressedWakeUp): Promise<void> {
    if (this.wakeUps.length >= this.failAfter)
      throw new LowrankError('store_unavailable', 'The queue is down.');
    const key = `${jobId}#${epoch} ${workerId}`;
    if (!this.wakeUps.includes(key)) this.wakeUps.push(key);
  }

  async forget(workerId: string): Promise<void> {
    this.forgotten.push(workerId);
  }

  async close(): Promise<void> {}
}
