import { Logger } from '@nestjs/common';
import { dispatchOutbox, type JobQueue, type Ports, reconcile } from '@lowrank/domain';
import { BackOff, pause } from '../retry';
import { type Timings } from '../settings';

/**
 * Carries the outbox to the queue and makes good what got lost. Every worker stands by; the one that holds the advisory lock does it,
 * so a dispatcher that dies is replaced within seconds. While Postgres or the queue is away it backs off and goes on.
 */
export class Dispatcher {
  private readonly logger = new Logger(Dispatcher.name);
  private readonly leaving = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly ports: Ports,
    private readonly queue: JobQueue,
    private readonly timings: Pick<Timings, 'dispatch' | 'reconcile' | 'settle' | 'silentAfter' | 'standby'>,
  ) {}

  start(): void {
    this.running = this.standBy();
  }

  /** Resolves when the lock is free again. */
  async stop(): Promise<void> {
    this.leaving.abort();
    await this.running;
  }

  private async standBy(): Promise<void> {
    const backOff = new BackOff();
    while (!this.leaving.signal.aborted) {
      try {
        await this.ports.unitOfWork.exclusively('dispatcher', (lost) =>
          this.dispatch(AbortSignal.any([lost, this.leaving.signal]), backOff),
        );
        await pause(jittered(this.timings.standby), this.leaving.signal);
      } catch (error) {
        this.logger.warn(
          `Dispatching stopped for a moment: ${error instanceof Error ? error.message : error}`,
        );
        await backOff.pause(this.leaving.signal);
      }
    }
  }

  /** Until the lock is lost or the worker leaves; rejects on the first failure, which gives the lock up too. */
  private async dispatch(over: AbortSignal, backOff: BackOff): Promise<void> {
    this.logger.log('This worker is the dispatcher now.');
    // After an outage of Postgres every heartbeat is old; those who live get time to write one before anybody is declared dead.
    let reconcileAt = Date.now() + this.timings.settle;
    while (!over.aborted) {
      const carried = await dispatchOutbox(this.ports.unitOfWork, this.queue);
      if (Date.now() >= reconcileAt) {
        await this.reconcile();
        reconcileAt = Date.now() + jittered(this.timings.reconcile);
      }
      backOff.reset();
      // More may wait than one call carries.
      if (carried === 0) await pause(jittered(this.timings.dispatch), over);
    }
  }

  private async reconcile(): Promise<void> {
    const { crashed } = await reconcile(this.ports, this.queue, { silentAfterMs: this.timings.silentAfter });
    if (crashed > 0) this.logger.warn(`Took ${crashed} job(s) from workers that fell silent.`);
  }
}

/** Between 75% and 125%, so that many workers do not move as one. */
const jittered = (ms: number): number => ms * (0.75 + Math.random() / 2);
