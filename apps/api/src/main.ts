import 'reflect-metadata';
import { describeConfig, loadConfig } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { createUnitOfWork } from '@lowrank/db';
import { randomIds, SharedClock } from '@lowrank/domain';
import { createQueueInspector } from '@lowrank/queue';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { startTracing, traceparentNow } from '@lowrank/telemetry';
import { Logger } from 'nestjs-pino';
import { join } from 'node:path';
import { createApp } from './app';

/** Composition root: the real ports behind the API, listening until SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const config = loadConfig();
  if (config.databaseUrl === null)
    throw new LowrankError('validation_failed', 'DATABASE_URL is not set.', undefined, {
      help: 'Start everything with `npm start`, which brings its own Postgres, or name one.',
    });
  const tracing = startTracing('lowrank-api');
  const unitOfWork = createUnitOfWork(config.databaseUrl, {
    max: config.databaseConnections ?? undefined,
    traceparent: traceparentNow,
  });
  const store = createObjectStore({ s3: config.s3, folder: join(config.dataDir, 'objects') });
  const clock = new SharedClock(() => unitOfWork.ping());
  const ports = { unitOfWork, clock, ids: randomIds };
  const { databaseUrl, redis, queuePrefix: prefix } = config;
  const queue = createQueueInspector({ databaseUrl, redis, prefix });
  const app = await createApp({ config, ports, store, blobs: new Blobs(store), queue });
  const logger = app.get(Logger);

  // Without Postgres there is nothing to write times into.
  const adjust = () => clock.adjust().catch(() => undefined);
  const adjusting = setInterval(adjust, 30_000);
  void adjust();

  let leaving = false;
  const leave = (reason: string) => {
    if (leaving) return;
    leaving = true;
    clearInterval(adjusting);
    logger.log(`${reason}: closing.`);
    app
      .close()
      .then(() => queue.close())
      .then(() => unitOfWork.close())
      .then(() => tracing.stop())
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

  await app.listen(config.port, config.host);
  logger.log({ config: describeConfig(config), msg: `Listening on ${await app.getUrl()}.` });
}

main().catch((error) => {
  const text = error instanceof LowrankError ? `${error.message}\n${error.help}` : (error?.stack ?? error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
