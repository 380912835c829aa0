import { jobQueueConformance, testDatabase } from '@lowrank/testing';
import { createJobConsumer } from './job-consumer';
import { createQueueInspector } from './inspector';
import { createJobQueue } from './job-queue';

jobQueueConformance('Postgres', async () => {
  const database = await testDatabase();
  const connection = { databaseUrl: database.url, redis: null, prefix: 'test' };
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
      await database.drop();
    },
  };
});
