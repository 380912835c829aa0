import { jobQueueConformance } from '@lowrank/testing';
import { createJobConsumer } from './job-consumer';
import { createQueueInspector } from './inspector';
import { createJobQueue } from './job-queue';
import { hasRedisServer, RedisServers, startCluster } from './test/redis-servers';

if (hasRedisServer) {
  let servers: RedisServers;
  let nodes: Awaited<ReturnType<typeof startCluster>>;
  beforeAll(async () => {
    servers = await RedisServers.open();
    nodes = await startCluster(servers);
  });
  afterAll(() => servers.close());

  let opened = 0;
  jobQueueConformance('Redis Cluster', async () => {
    const access = { username: null, password: null, tls: false };
    // Prefixes differ, so that they are of different nodes.
    const connection = {
      databaseUrl: '',
      redis: { type: 'cluster' as const, nodes, ...access },
      prefix: `test-${++opened}`,
    };
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
} else {
  it.skip('needs redis-server', () => {});
}
