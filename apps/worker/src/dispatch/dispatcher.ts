import { Logger } from '@nestjs/common';
import {
  carryWakeUps,
  dispatchOutbox,
  explainWaiting,
  type JobQueue,
  locks,
  type News,
  type Ports,
  reconcile,
  scheduleJobs,
} from '@lowrank/domain';
import { type WorkerMetrics } from '../metrics/worker-metrics';
import { jittered, messageOf } from '../retry';
import { type Timings } from '../settings';
import { Standby } from '../standby';

export type DispatcherTimings = Pick<
  Timings,
  | 'schedule'
  | 'reconcile'
  | 'settle'
  | 'silentAfter'
  | 'standby'
  | 'unseenAfter'
  | 'untakenAfter'
  | 'forgetAfter'
>;

/** Rows of the outbox that are looked at together. */
const mostCarried = 100;

/**
 * Decides which job gets which slot, carries the decisions to the workers' queues and makes good what got lost. Every worker stands by;
 * the one that holds the advisory lock does it, so a dispatcher that dies is replaced within seconds. While Postgres or the queue is
 * away it backs off and goes on.
 */
export class Dispatcher {
  private readonly logger = new Logger(Dispatcher.name);
  private readonly standby: Standby;

  constructor(
    private readonly ports: Ports,
    private readonly queue: JobQueue,
    private readonly timings: DispatcherTimings,
    private readonly metrics: Pick<WorkerMetrics, 'setDispatching'>,
  ) {
    this.standby = new Standby({
      unitOfWork: ports.unitOfWork,
      lock: locks.dispatcher,
      pauseMs: () => jittered(timings.standby),
      work: async (over, news, alive) => {
        this.metrics.setDispatching(true);
        try {
          await this.dispatch(over, news, alive);
        } finally {
          this.metrics.setDispatching(false);
        }
      },
      onTrouble: (error) => this.logger.warn(`Dispatching stopped for a moment: ${messageOf(error)}`),
    });
  }

  start(): void {
    this.standby.start();
  }

  /** Resolves when another worker may dispatch. */
  stop(): Promise<void> {
    return this.standby.stop();
  }

  /** Until the lock is lost or the worker leaves; rejects on the first failure, which gives the lock up too. */
  private async dispatch(over: AbortSignal, news: News, alive: () => void): Promise<void> {
    this.logger.log('This worker is the dispatcher now.');
    // After an outage of Postgres every heartbeat is old; those who live get time to write one before anybody is declared dead.
    let reconcileAt = Date.now() + this.timings.settle;
    let heard = false;
    while (!over.aborted) {
      // What this or another dispatcher did not get carried. News may get lost, so every now and then there is a round without.
      if (!heard) await this.carryLeft();
      await this.schedule();
      if (Date.now() >= reconcileAt) {
        await this.reconcile();
        reconcileAt = Date.now() + jittered(this.timings.reconcile);
      }
      alive();
      heard = await news.wait(jittered(this.timings.schedule), over);
    }
  }

  private async carryLeft(): Promise<void> {
    const { ports, queue } = this;
    while ((await dispatchOutbox(ports.unitOfWork, queue, mostCarried)) === mostCarried);
  }

  private async schedule(): Promise<void> {
    const { unseenAfter, untakenAfter } = this.timings;
    const { preempted, withdrawn, wakeUps } = await scheduleJobs(this.ports, {
      unseenAfterMs: unseenAfter,
      untakenAfterMs: untakenAfter,
    });
    await carryWakeUps(this.ports.unitOfWork, this.queue, wakeUps);
    if (preempted > 0)
      this.logger.log(`Asked ${preempted} job(s) for their slots, for others of higher priority.`);
    if (withdrawn > 0) this.logger.warn(`Withdrew ${withdrawn} job(s) from workers that did not take them.`);
  }

  private async reconcile(): Promise<void> {
    const { silentAfter, forgetAfter, unseenAfter } = this.timings;
    const { crashed, overdue } = await reconcile(this.ports, this.queue, {
      silentAfterMs: silentAfter,
      forgetAfterMs: forgetAfter,
    });
    await explainWaiting(this.ports, unseenAfter);
    if (overdue > 0) this.logger.log(`Ended ${overdue} job(s) whose deadline had come.`);
    if (crashed > 0) this.logger.warn(`Took ${crashed} job(s) from workers that fell silent.`);
  }
}
