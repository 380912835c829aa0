import { type RedisConfig } from '@lowrank/config';
import { jobQueueConformance } from '@lowrank/testing';
import { createJobConsumer } from './job-consumer';
import { createQueueInspector } from './inspector';
import { createJobQueue } from './job-queue';
import { hasRedisServer, RedisServers, startSentinels } from './test/redis-servers';

if (hasRedisServer) {
  const name = 'lowrank';
  let servers: RedisServers;
  let started: Awaited<ReturnType<typeof startSentinels>>;
  beforeAll(async () => {
    servers = await RedisServers.open();
    started = await startSentinels(servers, name);
  });
  afterAll(() => servers.close());

  let opened = 0;
  const connect = () => {
    const { sentinels } = started;
    const access = { username: null, password: null, sentinelPassword: null, tls: false };
    const redis: RedisConfig = { type: 'sentinel', sentinels, name, ...access };
    return { databaseUrl: '', redis, prefix: `test-${++opened}` };
  };

  jobQueueConformance('Redis behind Sentinels', async () => {
    const connection = connect();
    const queue = createJobQueue(connection);
    const inspector = createQueueInspector(connection);
    return {
      queue,
      inspector,
      consume: (workerId, slots, handler, onError = () => {}) =>
        createJobConsumer({ ...connection, workerId, slots, onError }, handler),
      close: () => Promise.all([queue.close(), inspector.close()]).then(() => {}),
    };
  });

  it('goes on at the replica when the primary dies: workers that waited consume again', async () => {
    const workerId = `wrk_${'a'.repeat(24)}`;
    const connection = connect();
    const queue = createJobQueue(connection);
    const seen: string[] = [];
    const consumer = createJobConsumer(
      { ...connection, workerId, slots: 1, onError: () => {} },
      async ({ jobId }) => {
        seen.push(jobId);
      },
    );
    const wake = (letter: string) => queue.wake({ jobId: `job_${letter.repeat(24)}`, epoch: 1, workerId });
    await wake('b');
    await servers.until(async () => seen.length === 1);

    await servers.kill(started.primary);
    // What the queue does not take stays in the outbox, and is tried again.
    await servers.until(async () => {
      await wake('c');
      return true;
    });
    await servers.until(async () => seen.includes(`job_${'c'.repeat(24)}`));
    expect(String(await servers.ask(started.replica, 'ROLE'))).toMatch(/^master/);
    await consumer.close();
    await queue.close();
    // Sentinels agree on a new primary some seconds after they miss the old one.
  }, 90_000);
} else {
  it.skip('needs redis-server', () => {});
}
