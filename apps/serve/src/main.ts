import { loadConfig, secretsOf } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { openKernels } from '@lowrank/kernels';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { logOptions } from '@lowrank/telemetry';
import { join } from 'node:path';
import pino from 'pino';
import { Service } from './generation/service';
import { Turns } from './generation/turns';
import { InFlight } from './http/in-flight';
import { createServer } from './http/server';
import { ServeMetrics } from './metrics';
import { Models } from './models/models';

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
  const models = new Models({
    kernels,
    blobs: new Blobs(store),
    cacheDir: join(config.dataDir, 'cache'),
    keepBases: serve.bases,
    keepAdapters: serve.adapters,
    memoryBytes: serve.memoryBytes,
    cacheTokens: serve.cacheTokens,
  });
  const turns = new Turns({
    running: serve.running,
    waiting: serve.waiting,
    patienceMs: 1000 * serve.waitSeconds,
  });
  const service = new Service(models, turns);
  const inFlight = new InFlight();
  const app = createServer({
    ...{ service, models, turns, inFlight, bodyBytes, logger },
    metrics: new ServeMetrics(models, turns),
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

  await app.listen({ host: serve.host, port: serve.port });
}

main().catch((error) => {
  const text = error instanceof LowrankError ? `${error.message}\n${error.help}` : (error?.stack ?? error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
