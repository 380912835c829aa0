import { setTimeout as wait } from 'node:timers/promises';

/** How long a request waits for long work; the work goes on behind it. */
const usualPatienceMs = 15_000;

/** Long work, one piece at a time, and each once however many ask for it. */
export class OneAtATime<T> {
  private readonly running = new Map<string, Promise<T>>();
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly patienceMs = usualPatienceMs) {}

  isRunning(key: string): boolean {
    return this.running.has(key);
  }

  /** What the work of that key comes to; null when that takes longer than a request waits. Throws what it throws. */
  async do(key: string, work: () => Promise<T>): Promise<T | null> {
    const answered = new AbortController();
    const patience = wait(this.patienceMs, null, { signal: answered.signal }).catch(() => null);
    try {
      return await Promise.race([this.start(key, work), patience]);
    } finally {
      answered.abort();
    }
  }

  private start(key: string, work: () => Promise<T>): Promise<T> {
    const running = this.running.get(key);
    if (running) return running;
    const started = this.last.then(work);
    this.running.set(key, started);
    // Whoever waits hears of a failure; when nobody does any more it is no failure of the process.
    this.last = started.catch(() => undefined).finally(() => this.running.delete(key));
    return started;
  }
}
