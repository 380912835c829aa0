import { type News } from './ports/outbox';

/** News that an adapter rings in. */
export class Bell implements News {
  private rung = false;
  private wake = (): void => {};

  ring(): void {
    this.rung = true;
    this.wake();
  }

  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.rung && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          this.wake = () => {};
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done);
        this.wake = done;
      });
    }
    const heard = this.rung;
    this.rung = false;
    return heard;
  }
}
