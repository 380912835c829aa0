import { type Manifest } from '@lowrank/contracts';
import { type TrainedAdapter } from '@lowrank/training';
import { pause } from './back-off';

/** What is left to store when training has ended has this long; the worker's patience with a trainer that is to stop is longer. */
const finishMs = 10_000;

export interface KeeperOptions {
  /** Puts the files into the object store. */
  store(state: TrainedAdapter): Promise<Manifest>;
  onKept(manifest: Manifest): void;
  /** Something for the job's owner. */
  onMessage(level: 'info' | 'warn', message: string): void;
}

const lossOf = (state: TrainedAdapter): number => state.metrics.evalLossAfter ?? Infinity;

/**
 * Stores states of an adapter while training goes on: one at a time. Of those that come meanwhile one waits: the newest, unless the one
 * before was better on the rows held out. One that the object store does not take is not kept; its owner reads of the first.
 */
export class CheckpointKeeper {
  #waiting: TrainedAdapter | null = null;
  #working: Promise<void> | null = null;
  #away = false;

  constructor(private readonly options: KeeperOptions) {}

  offer(state: TrainedAdapter): void {
    if (this.#waiting === null || lossOf(this.#waiting) >= lossOf(state)) this.#waiting = state;
    this.#working ??= this.#work();
  }

  /** Resolves as `train` does, or rejects, once what was offered is stored, or soon. */
  async during<T>(train: () => Promise<T>): Promise<T> {
    try {
      return await train();
    } finally {
      const done = new AbortController();
      await Promise.race([this.#working, pause(finishMs, done.signal)]);
      done.abort();
      this.#waiting = null;
    }
  }

  async #work(): Promise<void> {
    while (this.#waiting !== null) {
      const state = this.#waiting;
      this.#waiting = null;
      try {
        this.options.onKept(await this.options.store(state));
        this.#away = false;
      } catch (error) {
        if (!this.#away)
          this.options.onMessage(
            'warn',
            `the state after step ${state.metrics.steps} is not kept to be published: ${(error as Error).message}`,
          );
        this.#away = true;
      }
    }
    this.#working = null;
  }
}
