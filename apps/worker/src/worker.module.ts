import { DynamicModule, Module } from '@nestjs/common';
import { type Config, secretsOf } from '@lowrank/config';
import { LowrankError, wakeUpVersion } from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { type Ports, randomIds, removeExpiredUploads, removeForGood, SharedClock } from '@lowrank/domain';
import { AddressRules, createPoster } from '@lowrank/outbound';
import { createJobConsumer, createJobQueue } from '@lowrank/queue';
import { Blobs, Checkpoints, createObjectStore } from '@lowrank/storage';
import { logOptions } from '@lowrank/telemetry';
import { LoggerModule } from 'nestjs-pino';
import { cpus, hostname } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { trainerEnvironment } from './attempts/trainer-process';
import { Dispatcher } from './dispatch/dispatcher';
import { Janitor } from './janitor';
import { MetricsServer } from './metrics/metrics-server';
import { WorkerMetrics } from './metrics/worker-metrics';
import { measureMachine } from './machine-usage';
import { Presence } from './presence';
import { publishingOn } from './publication';
import { defaultTimings } from './settings';
import { Speedometer } from './speedometer';
import { Supervisor } from './supervisor';
import { WebhookSender } from './webhooks/webhook-sender';
import { Connections, WorkerService } from './worker.service';

/** The trainer's programs: compiled beside a compiled worker, a source beside a source. */
const trainerProgram = (name: string): string =>
  resolve(__dirname, `../../trainer/src/${name}${extname(__filename)}`);

/** Nothing that people delete is removed; what trainers have replaced still is: it counts as discarded in 1970. */
const foreverMs = 40 * 365 * 86_400_000;

@Module({})
export class WorkerModule {
  /** A worker on the configured Postgres and queue. Error: validation_failed without a database. */
  static forRoot(config: Config): DynamicModule {
    const { databaseUrl, redis, queuePrefix: prefix, dataDir, slots, threads, logLevel } = config;
    const { deviceClass, memoryBytes, jobsPerTrainer } = config;
    if (databaseUrl === null) {
      throw new LowrankError('validation_failed', 'DATABASE_URL is not set.', undefined, {
        help: 'Set it, or start everything with "lowrank up", which brings a Postgres of its own.',
      });
    }
    const unitOfWork = createUnitOfWork(databaseUrl);
    const queue = createJobQueue({ databaseUrl, redis, prefix });
    const id = randomIds.make('worker');
    const poster = createPoster({
      rules: new AddressRules(config.webhookNetworks),
      timeoutMs: defaultTimings.webhookTimeout,
    });
    const connections: Connections = {
      unitOfWork,
      queue,
      closePoster: () => poster.close(),
      forget: () => queue.forget(id),
      consume: (handler, onError) =>
        createJobConsumer({ databaseUrl, redis, prefix, workerId: id, slots, onError }, handler),
    };
    const clock = new SharedClock(() => unitOfWork.ping());
    const ports: Ports = { unitOfWork, clock, ids: randomIds };
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
    const supervisor = new Supervisor({
      ports,
      workerId: id,
      workplace: { dataDir, threads, slots, jobsPerTrainer },
      timings: defaultTimings,
      metrics,
      clearUp: (attempt) => janitor.clearUp(attempt),
      trainerEntry: trainerProgram('main'),
      publishing: publishingOn(unitOfWork, store),
      env: { ...process.env, LOWRANK_DATA: dataDir },
    });
    const webhooks = new WebhookSender(ports, poster.post, defaultTimings, metrics);
    const device = `cpu ${cpus()[0]?.model ?? process.arch}`;
    const worker = {
      id,
      hostname: hostname(),
      slots,
      device,
      deviceClass,
      memoryBytes,
      threads,
      wakeUpVersion,
    };
    const speedometer = new Speedometer({
      entry: trainerProgram('speed'),
      env: trainerEnvironment(process.env),
      threads: Math.max(1, Math.floor(threads / slots)),
      folder: join(dataDir, 'tmp', `speed-${id}`),
      isIdle: () => supervisor.isIdle,
      timings: defaultTimings,
    });
    const usageNow = measureMachine();
    const presence = new Presence(
      { unitOfWork, clock },
      worker,
      () => ({ usage: usageNow(), operationsPerSecond: speedometer.operationsPerSecond }),
      defaultTimings.presence,
      (mode) => supervisor.setDrain(mode),
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
      providers: [
        { provide: Supervisor, useValue: supervisor },
        { provide: Dispatcher, useValue: new Dispatcher(ports, queue, defaultTimings, metrics) },
        { provide: Presence, useValue: presence },
        { provide: WebhookSender, useValue: webhooks },
        { provide: Janitor, useValue: janitor },
        { provide: Speedometer, useValue: speedometer },
        {
          provide: WorkerService,
          useFactory: (...parts: [Supervisor, Dispatcher, Presence, WebhookSender, Janitor, Speedometer]) =>
            new WorkerService(connections, metricsServer, ...parts),
          inject: [Supervisor, Dispatcher, Presence, WebhookSender, Janitor, Speedometer],
        },
      ],
    };
  }
}
