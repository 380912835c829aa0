import { loadConfig, secretsOf } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { openKernels } from '@lowrank/kernels';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { logOptions } from '@lowrank/telemetry';
import { join } from 'node:path';
import pino from 'pino';
import { Rereads } from './generation/rereads';
import { Service } from './generation/service';
import { Turns } from './generation/turns';
import { InFlight } from './http/in-flight';
import { createServer } from './http/server';
import { ServeMetrics } from './metrics';
import { Models } from './models/models';
import { Pins } from './models/pins';
import { machineBytes } from './models/room';

/** Files of an adapter or a base model with thousands of names, and a conversation as long as any context. */
const bodyBytes = 16 * 2 ** 20;

/** Composition root: answers until SIGTERM or SIGINT, and then to the end what it has begun. */
async function main(): Promise<void> {
  const config = loadConfig();
  const { serve } = config;
  if (serve.token === null)
    throw new LowrankError('validation_failed', 'LOWRANK_SERVE_TOKEN is not set.', undefined, {
      help: 'Start everything with `npm start`, or give the API and its servers the same secret.',
    });
  const logger = pino(
    logOptions({ service: 'lowrank-serve', level: config.logLevel, secrets: secretsOf(config) }),
  );
  const store = createObjectStore({ s3: config.s3, folder: join(config.dataDir, 'objects') });
  const kernels = openKernels({ threads: config.threads });
  // Servers of one machine that share a folder of data have ports of their own.
  const served = join(config.dataDir, 'cache', 'served', String(serve.port));
  const memoryBytes = serve.memoryBytes ?? machineBytes();
  const models = new Models({
    kernels,
    blobs: new Blobs(store),
    cacheDir: join(config.dataDir, 'cache'),
    adaptersDir: join(served, 'adapters'),
    diskBytes: serve.diskBytes,
    keepBases: serve.bases,
    keepAdapters: serve.adapters,
    adapterDtype: serve.adapterDtype,
    memoryBytes,
    shape: { threads: config.threads, cacheTokens: serve.cacheTokens, rows: serve.running },
  });
  const turns = new Turns({
    running: serve.running,
    waiting: serve.waiting,
    patienceMs: 1000 * serve.waitSeconds,
  });
  const pins = new Pins({ models, memoryBytes, file: join(served, 'pins.json') });
  const service = new Service(models, turns, serve.rereads ? new Rereads(models, turns) : null);
  const inFlight = new InFlight();
  const app = createServer({
    ...{ service, models, pins, turns, inFlight, bodyBytes, logger },
    metrics: new ServeMetrics({ models, pins, turns }),
    token: serve.token,
    metricsToken: config.metricsToken,
  });

  let leaving = false;
  const leave = (reason: string) => {
    if (leaving) return;
    leaving = true;
    logger.info(`${reason}: answers that have begun are finished.`);
    inFlight
      .drain(1000 * serve.drainSeconds)
      .then(() => app.close())
      .then(() => service.close())
      .then(() => pins.close())
      .then(() => {
        models.close();
        kernels.close();
      })
      .then(
        () => process.exit(0),
        (error) => {
          logger.error(error);
          process.exit(1);
        },
      );
  };
  process.once('SIGTERM', leave);
  process.once('SIGINT', leave);
  // Started with an IPC channel, its other end is who looks after this process.
  if (process.connected) process.once('disconnect', () => leave('The starting process is gone'));

  // Not waited for: requests and declarations of pins find out what there is.
  void pins.restore();
  await app.listen({ host: serve.host, port: serve.port });
}

main().catch((error) => {
  const text = error instanceof LowrankError ? `${error.message}\n${error.help}` : (error?.stack ?? error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
