import { type News, type UnitOfWork } from '@lowrank/domain';
import { BackOff, pause } from './retry';

export interface StandbyOptions {
  unitOfWork: Pick<UnitOfWork, 'exclusively'>;
  /** Of the advisory lock: of all workers one at a time holds it. */
  lock: string;
  /** Milliseconds between two tries to get the lock. */
  pauseMs(): number;
  /**
   * Does the work until `over` is aborted, sooner when there is news; calls `alive` whenever it got something done. A rejection gives the
   * lock up.
   */
  work(over: AbortSignal, news: News, alive: () => void): Promise<void>;
  onTrouble(error: unknown): void;
}

/** Stands by for work that one worker does for all, and does it while it holds the lock; after a failure it backs off and goes on. */
export class Standby {
  private readonly leaving = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: StandbyOptions) {}

  start(): void {
    this.running = this.standBy();
  }

  /** Resolves when the lock is free again. */
  async stop(): Promise<void> {
    this.leaving.abort();
    await this.running;
  }

  private async standBy(): Promise<void> {
    const { unitOfWork, lock, pauseMs, work, onTrouble } = this.options;
    const backOff = new BackOff();
    while (!this.leaving.signal.aborted) {
      try {
        await unitOfWork.exclusively(lock, (lost, news) =>
          work(AbortSignal.any([lost, this.leaving.signal]), news, () => backOff.reset()),
        );
        await pause(pauseMs(), this.leaving.signal);
      } catch (error) {
        onTrouble(error);
        await backOff.pause(this.leaving.signal);
      }
    }
  }
}
