import { type Config } from '@lowrank/config';
import { wakeUpVersion } from '@lowrank/contracts';
import {
  type AttemptRef,
  type JobConsumer,
  type JobHandler,
  type Ports,
  randomIds,
  type SharedClock,
  type UnitOfWork,
} from '@lowrank/domain';
import { Logger } from '@nestjs/common';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { trainerEnvironment } from './attempts/trainer-process';
import { type GpuWatch } from './devices/gpu-watch';
import { environmentOf, type Offer } from './devices/offers';
import { measureMachine } from './machine-usage';
import { type WorkerMetrics } from './metrics/worker-metrics';
import { Presence } from './presence';
import { type Publishing } from './publication';
import { messageOf } from './retry';
import { type Timings } from './settings';
import { Speedometer } from './speedometer';
import { Supervisor } from './supervisor';

/** What the workers of a process share. */
export interface DeviceWorkerOptions {
  config: Pick<Config, 'dataDir' | 'jobsPerTrainer'>;
  ports: Ports & { unitOfWork: UnitOfWork; clock: SharedClock };
  timings: Timings;
  metrics: WorkerMetrics;
  publishing: Publishing;
  watch: GpuWatch;
  clearUp(attempt: AttemptRef): Promise<void>;
  /** Compiled files of the trainer's programs. */
  programs: { main: string; speed: string };
  /** Begins to take the wake-ups of a worker with that many slots. */
  consume(
    worker: { workerId: string; slots: number },
    handler: JobHandler,
    onError: (error: unknown) => void,
  ): JobConsumer;
  /** Removes what may still wait for a worker. */
  forget(workerId: string): Promise<void>;
}

/** A worker: a device, the trainers that compute on it, and the row that tells of both. */
export class DeviceWorker {
  private readonly logger = new Logger(DeviceWorker.name);
  private readonly id = randomIds.make('worker');
  private readonly supervisor: Supervisor;
  private readonly presence: Presence;
  private readonly speedometer: Speedometer;
  private consumer: JobConsumer | null = null;

  constructor(
    private readonly offer: Offer,
    private readonly options: DeviceWorkerOptions,
  ) {
    const { config, ports, timings, metrics, publishing, watch, programs, clearUp } = options;
    const { gpus, slots, threads, ...row } = offer;
    const { dataDir, jobsPerTrainer } = config;
    const env = { ...process.env, LOWRANK_DATA: dataDir, ...environmentOf(offer) };
    const deviceProblem = () => gpus.map((gpu) => watch.lossOf(gpu)).find((loss) => loss !== null) ?? null;
    this.supervisor = new Supervisor({
      ...{ ports, timings, metrics, publishing, clearUp, deviceProblem, env, workerId: this.id },
      workplace: { dataDir, threads, slots, jobsPerTrainer },
      trainerEntry: programs.main,
    });
    this.speedometer = new Speedometer({
      entry: programs.speed,
      env: trainerEnvironment(env),
      threads: Math.max(1, Math.floor(threads / slots)),
      folder: join(dataDir, 'tmp', `speed-${this.id}`),
      isIdle: () => this.supervisor.isIdle,
      timings,
    });
    const machineUsage = measureMachine();
    this.presence = new Presence(
      ports,
      { ...row, id: this.id, hostname: hostname(), slots, threads, wakeUpVersion },
      () => ({
        usage: { ...machineUsage(), devices: gpus.flatMap(({ uuid }) => watch.usageOf(uuid)) },
        operationsPerSecond: this.speedometer.operationsPerSecond,
      }),
      deviceProblem,
      timings.presence,
      (mode) => this.supervisor.setDrain(mode),
    );
  }

  start(): void {
    this.logger.log(`Worker ${this.id} offers ${this.offer.slots} slot(s) of ${this.offer.device}.`);
    this.presence.start();
    this.speedometer.start();
    this.consumer = this.options.consume(
      { workerId: this.id, slots: this.offer.slots },
      (wakeUp) => this.supervisor.handle(wakeUp),
      (error) => this.logger.warn(`Queue: ${messageOf(error)}`),
    );
  }

  /**
   * Running attempts write a checkpoint and go back to the queue. The worker's row goes at once, so that nothing more is meant for it and what
   * it was to get goes to others.
   */
  async drain(): Promise<void> {
    this.supervisor.drain();
    await Promise.all([this.presence.stop(), this.consumer?.close(), this.speedometer.stop()]);
  }

  /** Leaves nothing in the queue that is meant for it. */
  forget(): Promise<void> {
    return this.options
      .forget(this.id)
      .catch((error) => this.logger.warn(`Could not remove the worker's queue: ${error}`));
  }
}
