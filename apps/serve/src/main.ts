import { loadConfig, secretsOf } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { openKernels } from '@lowrank/kernels';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { logOptions } from '@lowrank/telemetry';
import { join } from 'node:path';
import pino from 'pino';
import { Service } from './generation/service';
import { Turns } from './generation/turns';
import { createServer } from './http/server';
import { Models } from './models/models';

/** Longest that a request waits for its turn. */
const patienceMs = 60_000;
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
  });
  const turns = new Turns({ running: serve.running, waiting: serve.waiting, patienceMs });
  const service = new Service(models, turns);
  const app = createServer({ service, models, turns, token: serve.token, bodyBytes, logger });

  let leaving = false;
  const leave = (reason: string) => {
    if (leaving) return;
    leaving = true;
    logger.info(`${reason}: answers that have begun are finished.`);
    app
      .close()
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
