import { Logger } from '@nestjs/common';
import { type UnitOfWork } from '@lowrank/domain';
import { type Checkpoints } from '@lowrank/storage';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { jobDirOf } from './attempts/assignment';
import { jittered, messageOf, pause } from './retry';
import { type Timings } from './settings';
import { Standby } from './standby';

/** Jobs whose states are asked for together. */
const batch = 500;
/** How long a worker that leaves waits for what is being removed. */
const longestStopMs = 5000;

/**
 * Removes the checkpoints of jobs that have ended: at once those of a job that ended here, and now and then what is left of others, on
 * this machine's disk and in the object store; and there what nobody needs any more (`removeDeleted`). A job may have ended elsewhere, without
 * a worker, or with one that died.
 */
export class Janitor {
  private readonly logger = new Logger(Janitor.name);
  private readonly leaving = new AbortController();
  private readonly removing = new Set<Promise<void>>();
  private readonly standby: Standby;
  private watching: Promise<void> = Promise.resolve();

  constructor(
    private readonly unitOfWork: UnitOfWork,
    private readonly checkpoints: Checkpoints,
    private readonly dataDir: string,
    private readonly timings: Pick<Timings, 'sweep'>,
    /** Removes for good what was deleted long ago, and uploads that nobody has completed. */
    private readonly removeDeleted: (over: AbortSignal) => Promise<void> = async () => undefined,
  ) {
    this.standby = new Standby({
      unitOfWork,
      lock: 'janitor',
      pauseMs: () => jittered(timings.sweep),
      work: (over, _news, alive) => this.watchStore(over, alive),
      onTrouble: (error) => this.complain('the object store', error),
    });
  }

  start(): void {
    this.watching = this.watchDisk();
    this.standby.start();
  }

  /** Resolves when nothing is being removed any more, or soon: what is left then is for others to sweep. */
  async stop(): Promise<void> {
    this.leaving.abort();
    const idle = new AbortController();
    await Promise.race([
      Promise.all([this.watching, this.standby.stop(), ...this.removing]),
      pause(longestStopMs, idle.signal),
    ]);
    idle.abort();
  }

  /** Resolves when nothing of the job is left on this machine; the object store may take its time. */
  async clearUp(attempt: { jobId: string; epoch: number }): Promise<void> {
    const removing = this.attempted('the object store', () => this.checkpoints.removeAll(attempt));
    this.removing.add(removing);
    void removing.then(() => this.removing.delete(removing));
    await this.removeFolder(attempt.jobId);
  }

  /** Removes from this machine what is left of jobs that have ended. */
  async sweepDisk(): Promise<void> {
    const names = await readdir(join(this.dataDir, 'jobs')).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    for (let i = 0; i < names.length; i += batch) {
      const ended = await this.finished(names.slice(i, i + batch));
      for (const { id } of ended) await this.removeFolder(id);
    }
  }

  /** The same in the object store. */
  async sweepStore(over: AbortSignal): Promise<void> {
    let ids: string[] = [];
    const flush = async () => {
      for (const { id: jobId, epoch } of await this.finished(ids))
        await this.checkpoints.removeAll({ jobId, epoch });
      ids = [];
    };
    for await (const id of this.checkpoints.jobs()) {
      if (ids.push(id) === batch) await flush();
      if (over.aborted) return;
    }
    await flush();
  }

  private async watchDisk(): Promise<void> {
    const { signal } = this.leaving;
    while (!signal.aborted) {
      await this.attempted("this machine's disk", () => this.sweepDisk());
      await pause(jittered(this.timings.sweep), signal);
    }
  }

  private async watchStore(over: AbortSignal, alive: () => void): Promise<void> {
    while (!over.aborted) {
      await this.sweepStore(over);
      await this.removeDeleted(over);
      alive();
      await pause(jittered(this.timings.sweep), over);
    }
  }

  private finished(ids: string[]): Promise<{ id: string; epoch: number }[]> {
    return this.unitOfWork.run(({ jobs }) => jobs.finished(ids));
  }

  private removeFolder(jobId: string): Promise<void> {
    const folder = jobDirOf(this.dataDir, jobId);
    return this.attempted(folder, () => rm(folder, { recursive: true, force: true }));
  }

  private async attempted(where: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.complain(where, error);
    }
  }

  private complain(where: string, error: unknown): void {
    this.logger.warn(`Checkpoints stay in ${where} for now: ${messageOf(error)}`);
  }
}
