import { BeforeApplicationShutdown, Injectable, Logger, OnApplicationBootstrap } from '@nestjs/common';
import { type JobQueue, type UnitOfWork } from '@lowrank/domain';
import { type DeviceWorker } from './device-worker';
import { type GpuWatch } from './devices/gpu-watch';
import { Dispatcher } from './dispatch/dispatcher';
import { Janitor } from './janitor';
import { type MetricsServer } from './metrics/metrics-server';
import { WebhookSender } from './webhooks/webhook-sender';

export interface Connections {
  unitOfWork: UnitOfWork;
  queue: JobQueue;
  /** Ends connections to webhooks. */
  closePoster(): Promise<void>;
}

/** The order in which the workers of a process come and go. */
@Injectable()
export class WorkerService implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(WorkerService.name);

  constructor(
    private readonly connections: Connections,
    private readonly metricsServer: MetricsServer | null,
    private readonly workers: readonly DeviceWorker[],
    private readonly watch: GpuWatch,
    private readonly dispatcher: Dispatcher,
    private readonly webhooks: WebhookSender,
    private readonly janitor: Janitor,
  ) {}

  onApplicationBootstrap(): void {
    // A worker trains with or without being watched.
    this.metricsServer?.start().then(
      (port) => this.logger.log(`Metrics for Prometheus on port ${port}.`),
      (error) => this.logger.error(`No metrics for Prometheus: ${error}`),
    );
    this.dispatcher.start();
    this.webhooks.start();
    this.janitor.start();
    for (const worker of this.workers) worker.start();
  }

  /** Drains all workers, then the connections close. */
  async beforeApplicationShutdown(): Promise<void> {
    await Promise.all([
      ...this.workers.map((worker) => worker.drain()),
      this.dispatcher.stop(),
      this.webhooks.stop(),
    ]);
    await this.watch.stop();
    await this.janitor.stop();
    for (const worker of this.workers) await worker.forget();
    await this.metricsServer?.stop();
    await this.connections.closePoster();
    await this.connections.queue.close();
    await this.connections.unitOfWork.close();
  }
}
