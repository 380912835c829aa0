import { jobQueueConformance } from '@lowrank/testing';
import Redis from 'ioredis';
import { randomBytes } from 'node:crypto';
import { createJobConsumer } from './job-consumer';
import { createQueueInspector } from './inspector';
import { createJobQueue } from './job-queue';

const redisUrl = process.env.TEST_REDIS_URL;

if (redisUrl) {
  jobQueueConformance('Redis', async () => {
    const redis = { type: 'single' as const, url: redisUrl };
    const connection = { databaseUrl: '', redis, prefix: `test-${randomBytes(6).toString('hex')}` };
    const queue = createJobQueue(connection);
    const inspector = createQueueInspector(connection);
    return {
      queue,
      inspector,
      consume: (workerId, slots, handler, onError = () => {}) =>
        createJobConsumer({ ...connection, workerId, slots, onError }, handler),
      async close() {
        await queue.close();
        await inspector.close();
        const client = new Redis(redisUrl);
        const keys = await client.keys(`${connection.prefix}:*`);
        if (keys.length > 0) await client.del(keys);
        client.disconnect();
      },
    };
  });
} else {
  it.skip('needs TEST_REDIS_URL', () => {});
}
