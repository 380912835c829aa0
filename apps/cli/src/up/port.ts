import { type AddressInfo, createServer } from 'node:net';

/** Whether something could listen there now. */
export function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** Any port that is free now. */
export function anyFreePort(host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** The first free port among `port` and the ten after it, or null. */
export async function firstFreePort(host: string, port: number): Promise<number | null> {
  for (let candidate = port; candidate <= Math.min(port + 10, 65_535); candidate += 1) {
    if (await isFree(host, candidate)) return candidate;
  }
  return null;
}
