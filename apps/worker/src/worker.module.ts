import { DynamicModule, Logger, Module } from '@nestjs/common';
import { type Config, secretsOf } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { randomIds, removeExpiredUploads, removeForGood, SharedClock } from '@lowrank/domain';
import { AddressRules, createPoster } from '@lowrank/outbound';
import { createJobConsumer, createJobQueue } from '@lowrank/queue';
import { Blobs, Checkpoints, createObjectStore } from '@lowrank/storage';
import { logOptions } from '@lowrank/telemetry';
import { LoggerModule } from 'nestjs-pino';
import { cpus, totalmem } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { trainerEnvironment } from './attempts/trainer-process';
import { DeviceWorker, type DeviceWorkerOptions } from './device-worker';
import { GpuWatch } from './devices/gpu-watch';
import { type Offer, offersOf } from './devices/offers';
import { Dispatcher } from './dispatch/dispatcher';
import { Janitor } from './janitor';
import { MetricsServer } from './metrics/metrics-server';
import { WorkerMetrics } from './metrics/worker-metrics';
import { publishingOn } from './publication';
import { defaultTimings } from './settings';
import { WebhookSender } from './webhooks/webhook-sender';
import { WorkerService } from './worker.service';

/** The trainer's programs: compiled beside a compiled worker, a source beside a source. */
const trainerProgram = (name: string): string =>
  resolve(__dirname, `../../trainer/src/${name}${extname(__filename)}`);

/** Transactions of a worker at a time: few, as there may be many workers. The locks that it holds or tries for have connections of their own. */
const databaseConnections = 4;

/** Nothing that people delete is removed; what trainers have replaced still is: it counts as discarded in 1970. */
const foreverMs = 40 * 365 * 86_400_000;

@Module({})
export class WorkerModule {
  /**
   * The workers of this process on the configured Postgres and queue: one for each GPU, or one for the processors. Error: validation_failed
   * without a database, or without the GPUs that are asked for.
   */
  static async forRoot(config: Config): Promise<DynamicModule> {
    const { databaseUrl, redis, queuePrefix: prefix, dataDir, logLevel } = config;
    if (databaseUrl === null) {
      throw new LowrankError('validation_failed', 'DATABASE_URL is not set.', undefined, {
        help: 'Set it, or start everything with "lowrank up", which brings a Postgres of its own.',
      });
    }
    const watch = new GpuWatch({
      entry: trainerProgram('gpus'),
      env: trainerEnvironment(process.env),
      timings: defaultTimings,
    });
    const offers = await offersOn(config, watch);
    const unitOfWork = createUnitOfWork(databaseUrl, {
      max: config.databaseConnections ?? databaseConnections,
    });
    const queue = createJobQueue({ databaseUrl, redis, prefix });
    const poster = createPoster({
      rules: new AddressRules(config.webhookNetworks),
      timeoutMs: defaultTimings.webhookTimeout,
    });
    const connections = { unitOfWork, queue, closePoster: () => poster.close() };
    const clock = new SharedClock(() => unitOfWork.ping());
    const ports = { unitOfWork, clock, ids: randomIds };
    const metrics = new WorkerMetrics();
    const { workerMetrics, metricsToken: token } = config;
    const metricsServer = workerMetrics && new MetricsServer(metrics.registry, { ...workerMetrics, token });
    const store = createObjectStore({ s3: config.s3, folder: join(dataDir, 'objects') });
    const removal = async (signal: AbortSignal): Promise<void> => {
      await removeExpiredUploads({ ...ports, store });
      const removeBlob = (sha256: string) => new Blobs(store).remove(sha256);
      const retentionMs = config.retentionMs ?? foreverMs;
      await removeForGood({ unitOfWork, clock }, { retentionMs, removeBlob, signal });
    };
    const janitor = new Janitor(unitOfWork, new Checkpoints(store), dataDir, defaultTimings, removal);
    const options: DeviceWorkerOptions = {
      ...{ config, ports, watch, metrics, timings: defaultTimings },
      publishing: publishingOn(unitOfWork, store),
      clearUp: (attempt) => janitor.clearUp(attempt),
      programs: { main: trainerProgram('main'), speed: trainerProgram('speed') },
      consume: (worker, handler, onError) =>
        createJobConsumer({ databaseUrl, redis, prefix, ...worker, onError }, handler),
      forget: (workerId) => queue.forget(workerId),
    };
    const workers = offers.map((offer) => new DeviceWorker(offer, options));
    const webhooks = new WebhookSender(ports, poster.post, defaultTimings, metrics);
    const dispatcher = new Dispatcher(ports, queue, defaultTimings, metrics);
    const service = new WorkerService(
      ...([connections, metricsServer, workers, watch, dispatcher, webhooks, janitor] as const),
    );
    return {
      module: WorkerModule,
      imports: [
        LoggerModule.forRoot({
          pinoHttp: logOptions({
            service: 'lowrank-worker',
            level: logLevel,
            secrets: secretsOf(config),
          }),
        }),
      ],
      providers: [{ provide: WorkerService, useFactory: () => service }],
    };
  }
}

/** What this process offers. */
async function offersOn(config: Config, watch: GpuWatch): Promise<Offer[]> {
  const report = config.gpus === 'off' ? null : await watch.start();
  const host = { processor: cpus()[0]?.model ?? process.arch, memoryBytes: totalmem() };
  const { offers, warnings } = offersOf(config, report, host);
  if (offers.every(({ gpus }) => gpus.length === 0)) await watch.stop();
  const logger = new Logger(WorkerModule.name);
  for (const warning of warnings) logger.warn(`${warning}.`);
  return offers;
}
