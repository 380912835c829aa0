// The consuming end of BullMQ alone: does nothing with an entry but say that it had it.
import { createRequire } from 'node:module';

const { createPostgresBackend, createRedisBackend, Worker } = createRequire(import.meta.url)('bullmq');
const { databaseUrl, redisUrl, prefix, slots } = JSON.parse(process.argv[2]);
const take = async (entry) => void process.send(entry.data.index);
const worker =
  redisUrl === null
    ? new Worker(
        'bench',
        take,
        {
          connection: { connectionString: databaseUrl, schema: `queue_${prefix}`, migrate: true, max: 4 },
          concurrency: slots,
        },
        createPostgresBackend,
      )
    : new Worker(
        'bench',
        take,
        { connection: { url: redisUrl, maxRetriesPerRequest: null }, prefix, concurrency: slots },
        createRedisBackend,
      );
process.on('SIGTERM', async () => {
  await worker.close();
  process.exit(0);
});
await worker.waitUntilReady();
process.send('ready');
