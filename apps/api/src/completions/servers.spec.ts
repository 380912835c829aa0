import { loadConfig } from '@lowrank/config';
import { type ServeTarget } from '@lowrank/contracts';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, type Socket } from 'node:net';
import { Servers } from './servers';

let server: Server;
let servers: Servers;
/** What each connection has been asked, in the order in which they came. */
let asked: number[];
let closesAt: (connection: number, request: number) => boolean;

beforeEach(async () => {
  asked = [];
  closesAt = () => false;
  const numbers = new Map<Socket, number>();
  server = createServer((request, response) => {
    const connection = numbers.get(request.socket) ?? asked.push(0) - 1;
    numbers.set(request.socket, connection);
    asked[connection] = (asked[connection] ?? 0) + 1;
    if (closesAt(connection, asked[connection] ?? 0)) request.socket.destroy();
    else request.resume().once('end', () => response.writeHead(204).end());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  servers = new Servers(loadConfig({ LOWRANK_SERVE_URLS: url, LOWRANK_SERVE_TOKEN: 'x'.repeat(32) }));
});
afterEach(async () => {
  servers.onApplicationShutdown();
  server.close();
  await once(server, 'close');
});

/** How many servers have loaded it. */
const prefetch = (): Promise<number> =>
  servers.prefetch({ adapter: { id: 'adp_a' }, mix: null } as unknown as ServeTarget);

it('keeps connections, and sends again what met one that was being closed', async () => {
  expect([await prefetch(), await prefetch()]).toEqual([1, 1]);
  expect(asked).toEqual([2]);
  closesAt = (connection, request) => connection === 0 && request === 3;
  expect(await prefetch()).toBe(1);
  expect(asked).toEqual([3, 1]);
});

it('does not send again what broke off on a connection of its own', async () => {
  closesAt = () => true;
  await expect(prefetch()).rejects.toMatchObject({ code: 'server_unavailable' });
  expect(asked).toEqual([1]);
});
