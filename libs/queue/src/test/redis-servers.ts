import { type RedisNode } from '@lowrank/config';
import { freePort } from '@lowrank/testing';
import { Redis } from 'ioredis';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const hasRedisServer = spawnSync('redis-server', ['--version']).status === 0;

/** Redis servers of one test, each on a free port of loopback, and all that they write in one folder. */
export class RedisServers {
  private readonly processes = new Map<number, ChildProcess>();

  private constructor(private readonly folder: string) {}

  static async open(): Promise<RedisServers> {
    return new RedisServers(await mkdtemp(join(tmpdir(), 'lowrank-redis-')));
  }

  /** Starts a server with these lines of configuration and resolves when it answers. */
  async start(lines: string[] = [], mode: string[] = []): Promise<RedisNode> {
    const node = { host: '127.0.0.1', port: await freePort() };
    const file = join(this.folder, `${node.port}.conf`);
    const own = [`port ${node.port}`, 'bind 127.0.0.1', `dir ${this.folder}`, `logfile ${node.port}.log`];
    await writeFile(file, [...own, ...lines, ''].join('\n'));
    this.processes.set(node.port, spawn('redis-server', [file, ...mode], { stdio: 'ignore' }));
    await this.until(async () => (await this.ask(node, 'PING')) === 'PONG');
    return node;
  }

  async ask({ host, port }: RedisNode, command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = new Redis({
      host,
      port,
      lazyConnect: true,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    client.on('error', () => {});
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  /** As a machine goes that loses power. */
  async kill({ port }: RedisNode): Promise<void> {
    const child = this.processes.get(port);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  /** Waits for a condition; one that throws does not hold yet. */
  async until(condition: () => Promise<boolean>): Promise<void> {
    while (!(await condition().catch(() => false))) await sleep(50);
  }

  async close(): Promise<void> {
    await Promise.all([...this.processes.keys()].map((port) => this.kill({ host: '', port })));
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A primary, a replica and the three Sentinels that watch them, who take a second to find out that the primary is gone. */
export async function startSentinels(servers: RedisServers, name: string) {
  const primary = await servers.start(["save ''"]);
  const replica = await servers.start(["save ''", `replicaof ${primary.host} ${primary.port}`]);
  const watch = [
    `sentinel monitor ${name} ${primary.host} ${primary.port} 2`,
    `sentinel down-after-milliseconds ${name} 1000`,
    `sentinel failover-timeout ${name} 5000`,
  ];
  const sentinels: RedisNode[] = [];
  for (let index = 0; index < 3; index++) sentinels.push(await servers.start(watch, ['--sentinel']));
  // A failover needs Sentinels that know one another and a replica that is in step.
  await servers.until(async () => {
    const infos = await Promise.all(sentinels.map((sentinel) => servers.ask(sentinel, 'INFO', 'sentinel')));
    const replication = String(await servers.ask(replica, 'INFO', 'replication'));
    return (
      infos.every((info) => /slaves=1,sentinels=3/.test(String(info))) &&
      replication.includes('master_link_status:up')
    );
  });
  return { primary, replica, sentinels };
}

const slots = 16_384;

/** A cluster of three nodes without replicas. */
export async function startCluster(servers: RedisServers): Promise<RedisNode[]> {
  const nodes: RedisNode[] = [];
  for (let index = 0; index < 3; index++) {
    const port = await freePort();
    const lines = [
      "save ''",
      'cluster-enabled yes',
      `cluster-config-file ${port}.nodes`,
      `cluster-port ${port}`,
    ];
    nodes.push(await servers.start(lines));
  }
  const share = Math.ceil(slots / nodes.length);
  for (const [index, node] of nodes.entries()) {
    const last = Math.min(slots, (index + 1) * share) - 1;
    await servers.ask(node, 'CLUSTER', 'ADDSLOTSRANGE', index * share, last);
    // The bus listens on a port of its own, named last.
    const [first] = nodes as [RedisNode];
    const bus = String(await servers.ask(first, 'CONFIG', 'GET', 'cluster-port')).split(',')[1] ?? '';
    if (node !== first) await servers.ask(node, 'CLUSTER', 'MEET', first.host, first.port, bus);
  }
  await servers.until(async () => {
    const infos = await Promise.all(nodes.map((node) => servers.ask(node, 'CLUSTER', 'INFO')));
    return infos.every((info) => /cluster_state:ok[^]*cluster_known_nodes:3/.test(String(info)));
  });
  return nodes;
}
