import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { loadConfig } from '@lowrank/config';
import { LowrankError } from '@lowrank/contracts';
import { startTracing } from '@lowrank/telemetry';
import { Logger } from 'nestjs-pino';
import { WorkerModule } from './worker.module';

async function main(): Promise<void> {
  const tracing = startTracing('lowrank-worker');
  const module = await WorkerModule.forRoot(loadConfig());
  const app = await NestFactory.createApplicationContext(module, { bufferLogs: true });
  const logger = app.get(Logger);
  app.useLogger(logger);

  let leaving = false;
  const leave = (reason: string) => {
    if (leaving) return;
    leaving = true;
    logger.log(`${reason}: draining.`);
    const closed = app.close().then(() => tracing.stop());
    closed.then(
      () => process.exit(0),
      (error) => {
        logger.error(error);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', leave);
  process.on('SIGINT', leave);
  // Started with an IPC channel, its other end is who looks after this process.
  if (process.connected) process.once('disconnect', () => leave('The starting process is gone'));
  logger.log('Worker is ready.');
}

main().catch((error) => {
  const text = error instanceof LowrankError ? `${error.message}\n${error.help}` : (error?.stack ?? error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
});
