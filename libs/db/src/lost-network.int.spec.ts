import { codeOf, makeDataset } from '@lowrank/testing';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { SpecDatabase } from './test/database';
import { createUnitOfWork } from './unit-of-work';

const database = new SpecDatabase();

/** Between us and the server; when frozen, connections that it has stay open and carry nothing any more. */
class Wire {
  private sockets: Socket[] = [];
  private frozen = new Set<Socket>();
  /** Whether connections made from now on carry anything. */
  dead = false;
  private server!: Server;

  async open(databaseUrl: string): Promise<string> {
    const url = new URL(databaseUrl);
    const { port, hostname } = new URL(databaseUrl);
    this.server = createServer({ allowHalfOpen: true }, (near) => {
      this.sockets.push(near);
      near.on('error', () => {});
      if (this.dead) return;
      const far = connect(Number(port), hostname);
      this.sockets.push(far);
      const carry = (from: Socket, to: Socket) => {
        from.on('data', (data) => this.frozen.has(near) || to.write(data));
        from.on('end', () => this.frozen.has(near) || to.end());
        from.on('error', () => {});
      };
      carry(near, far);
      carry(far, near);
    });
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    url.port = String(address && typeof address === 'object' && address.port);
    url.hostname = '127.0.0.1';
    return url.href;
  }

  freeze(): void {
    this.frozen = new Set(this.sockets);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

const answerWithinMs = 400;
let wire: Wire;
let unitOfWork: ReturnType<typeof createUnitOfWork>;
beforeEach(async () => {
  wire = new Wire();
  unitOfWork = createUnitOfWork(await wire.open(database.url), { answerWithinMs, max: 2 });
});
afterEach(async () => {
  await unitOfWork.close();
  await wire.close();
});

it('in a transaction is store_unavailable in time, and the next one has a new connection', async () => {
  const started = Date.now();
  const work = unitOfWork.run(async ({ datasets }) => {
    await datasets.insert(database.crew.id, makeDataset());
    wire.freeze();
    await datasets.insert(database.crew.id, makeDataset());
  });
  expect(await codeOf(work)).toBe('store_unavailable');
  expect(Date.now() - started).toBeLessThan(10 * answerWithinMs);
  for (let i = 0; i < 3; i++) {
    await unitOfWork.ping();
    await unitOfWork.run(({ jobs }) => jobs.placed());
  }
});

it('of a connection that waits in the pool fails one call in time', async () => {
  await unitOfWork.ping();
  wire.freeze();
  const started = Date.now();
  expect(await codeOf(unitOfWork.ping())).toBe('store_unavailable');
  expect(Date.now() - started).toBeLessThan(10 * answerWithinMs);
  await unitOfWork.ping();
});

it('to a server that takes connections and says nothing is store_unavailable in time', async () => {
  wire.dead = true;
  const started = Date.now();
  expect(await codeOf(unitOfWork.ping())).toBe('store_unavailable');
  expect(await codeOf(unitOfWork.run(async () => {}))).toBe('store_unavailable');
  expect(Date.now() - started).toBeLessThan(10 * answerWithinMs);
  wire.dead = false;
  await unitOfWork.ping();
});
