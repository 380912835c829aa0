import { jobQueueConformance, testDatabase } from '@lowrank/testing';
import { createJobConsumer } from './job-consumer';
import { createJobQueue } from './job-queue';

jobQueueConformance('Postgres', async () => {
  const database = await testDatabase();
  const connection = { databaseUrl: database.url, redis: null, prefix: 'test' };
  const queue = createJobQueue(connection);
  return {
    queue,
    consume: (workerId, slots, handler, onError = () => {}) =>
      createJobConsumer({ ...connection, workerId, slots, onError }, handler),
    async close() {
      await queue.close();
      await database.drop();
    },
  };
});
