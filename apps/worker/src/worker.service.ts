import { BeforeApplicationShutdown, Injectable, Logger, OnApplicationBootstrap } from '@nestjs/common';
import { type JobConsumer, type JobHandler, type JobQueue, type UnitOfWork } from '@lowrank/domain';
import { Dispatcher } from './dispatch/dispatcher';
import { Janitor } from './janitor';
import { type MetricsServer } from './metrics/metrics-server';
import { Presence } from './presence';
import { messageOf } from './retry';
import { Speedometer } from './speedometer';
import { Supervisor } from './supervisor';
import { WebhookSender } from './webhooks/webhook-sender';

export interface Connections {
  unitOfWork: UnitOfWork;
  queue: JobQueue;
  /** Ends connections to webhooks. */
  closePoster(): Promise<void>;
  /** Removes what may still wait for this worker. */
  forget(): Promise<void>;
  /** Begins to take wake-ups. */
  consume(handler: JobHandler, onError: (error: unknown) => void): JobConsumer;
}

/** The order in which a worker comes and goes. */
@Injectable()
export class WorkerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(WorkerService.name);
  private consumer: JobConsumer | null = null;

  constructor(
    private readonly connections: Connections,
    private readonly metricsServer: MetricsServer | null,
    private readonly supervisor: Supervisor,
    private readonly dispatcher: Dispatcher,
    private readonly presence: Presence,
    private readonly webhooks: WebhookSender,
    private readonly janitor: Janitor,
    private readonly speedometer: Speedometer,
  ) {}

  onApplicationBootstrap(): void {
    // A worker trains with or without being watched.
    this.metricsServer?.start().then(
      (port) => this.logger.log(`Metrics for Prometheus on port ${port}.`),
      (error) => this.logger.error(`No metrics for Prometheus: ${error}`),
    );
    this.presence.start();
    this.dispatcher.start();
    this.webhooks.start();
    this.janitor.start();
    this.speedometer.start();
    this.consumer = this.connections.consume(
      (wakeUp) => this.supervisor.handle(wakeUp),
      (error) => this.logger.warn(`Queue: ${messageOf(error)}`),
    );
  }

  /**
   * Drains: running attempts write a checkpoint and go back to the queue, then the connections close. The worker's row goes at once, so
   * that nothing more is meant for it and what it was to get goes to others.
   */
  async beforeApplicationShutdown(): Promise<void> {
    this.supervisor.drain();
    await Promise.all([
      this.presence.stop(),
      this.consumer?.close(),
      this.dispatcher.stop(),
      this.webhooks.stop(),
      this.speedometer.stop(),
    ]);
    await this.janitor.stop();
    await this.connections
      .forget()
      .catch((error) => this.logger.warn(`Could not remove the worker's queue: ${error}`));
    await this.metricsServer?.stop();
    await this.connections.closePoster();
    await this.connections.queue.close();
    await this.connections.unitOfWork.close();
  }
}
