import { readFile, writeFile } from 'node:fs/promises';
import { type Job } from '@lowrank/contracts';
import { Installation, tinyRecipe } from '../harness/installation';
import { end } from '../harness/program';
import { makeBucket, startS3 } from '../harness/servers';
import { StoreProxy } from '../harness/store-proxy';
import { pause, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Files of a version, and then its manifest. */
const puts = 4;

const isOfVersion = (key: string): boolean => key.startsWith('blobs/') || key.startsWith('manifests/');

/** Kills the trainer of a job when it has put so many objects of its version. */
async function killAfter(lowrank: Installation, proxy: StoreProxy, worker: { children(): Promise<number[]> }, put: number): Promise<Job> {
  const job = await lowrank.submit(tinyRecipe(20, 10, { seed: put }));
  let seen = 0;
  const killed = new Promise<void>((resolve) => {
    proxy.onPut = (key) => {
      if (!isOfVersion(key) || (seen += 1) !== put) return;
      void worker.children().then((pids) => {
        for (const pid of pids) end(pid);
        resolve();
      });
    };
  });
  await Promise.race([killed, pause(60)]);
  return job;
}

/**
 * The publisher is killed after each of its objects; two publishers of one job arrive at the manifest together, which the proxy in front
 * of the store sees to; a byte of a published file is changed where it is stored.
 */
export const publishers: Failure = {
  id: '12',
  broken: 'publisher killed after each file; two race; a byte flipped',
  required: 'no incomplete version visible, one winner, damage refused',
  run: async () => {
    let proxy: StoreProxy | null = null;
    let bucket: NodeJS.ProcessEnv = {};
    try {
      return await Installation.with(
        async (lowrank) => run(lowrank, proxy as StoreProxy, bucket),
        async (folder) => {
          const server = await startS3(folder);
          proxy = await StoreProxy.start(server);
          bucket = { ...(await makeBucket(server, proxy.url)), DIRECT: server };
          return bucket;
        },
      );
    } finally {
      (proxy as StoreProxy | null)?.stop();
    }
  },
};
void readFile;
void writeFile;
