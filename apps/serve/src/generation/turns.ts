import { LowrankError } from '@lowrank/contracts';

export interface TurnsOptions {
  /** Answers that are generated at a time, and requests that may wait. */
  running: number;
  waiting: number;
  /** Longest that a request waits. */
  patienceMs: number;
}

interface Waiter {
  teamId: string;
  go(): void;
  refuse(error: LowrankError): void;
}

/**
 * Admission: so many answers at a time. When one ends, the next is the longest waiting request of the team that has the fewest running, so
 * that one team's burst does not keep the others waiting. Beyond what may wait, and after `patienceMs`, requests are refused.
 */
export class Turns {
  private readonly runningOf = new Map<string, number>();
  private waiters: Waiter[] = [];
  private running = 0;

  constructor(private readonly options: TurnsOptions) {}

  get load(): { running: number; waiting: number } {
    return { running: this.running, waiting: this.waiters.length };
  }

  /**
   * Resolves to what ends the turn, to be called once. Errors: server_busy; the signal's reason when it is aborted first.
   */
  async take(teamId: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.running >= this.options.running) await this.wait(teamId, signal);
    this.running += 1;
    this.runningOf.set(teamId, (this.runningOf.get(teamId) ?? 0) + 1);
    return () => {
      this.running -= 1;
      const left = (this.runningOf.get(teamId) ?? 1) - 1;
      if (left === 0) this.runningOf.delete(teamId);
      else this.runningOf.set(teamId, left);
      this.next();
    };
  }

  private wait(teamId: string, signal: AbortSignal): Promise<void> {
    const { waiting, patienceMs } = this.options;
    if (this.waiters.length >= waiting)
      return Promise.reject(busy(`${waiting} requests are waiting already`));
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        this.waiters = this.waiters.filter((other) => other !== waiter);
      };
      const waiter: Waiter = {
        teamId,
        go: () => {
          leave();
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = () => {
        leave();
        reject(signal.reason as Error);
      };
      const timer = setTimeout(
        () => waiter.refuse(busy(`the request has waited for ${patienceMs / 1000} s`)),
        patienceMs,
      );
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiters.push(waiter);
    });
  }

  private next(): void {
    const of = ({ teamId }: Waiter) => this.runningOf.get(teamId) ?? 0;
    const [first, ...others] = this.waiters;
    if (first === undefined) return;
    others.reduce((least, other) => (of(other) < of(least) ? other : least), first).go();
  }
}

const busy = (why: string) => new LowrankError('server_busy', `The server is busy: ${why}.`);
