import { type Job } from '@lowrank/contracts';
import { type Installation, type RunningWorker, tinyRecipe } from '../harness/installation';
import { end } from '../harness/program';
import { type StoreProxy, withStore } from '../harness/store-proxy';
import { pause, until } from '../harness/wait';
import { type Failure, Problems } from '../suite';

/** Files of a version without held-out data, and its manifest. */
const objectsOfVersion = 4;

/** Kills the trainer as soon as it has put so many objects of its version; resolves to whether that came about. */
async function killAfter(
  lowrank: Installation,
  proxy: StoreProxy,
  worker: RunningWorker,
  put: number,
): Promise<{ job: Job; killed: boolean; seen: number }> {
  // Of another rank than the jobs before, so that none of its files has been stored by them.
  const recipe = { ...tinyRecipe(20, 10, { seed: put }), lora: { rank: put } };
  const job = await lowrank.submit(recipe);
  let count = 0;
  let killed = false;
  proxy.onPut = async (key) => {
    if (!/^(blobs|manifests)\//.test(key) || (count += 1) !== put) return;
    for (const pid of await worker.program.children()) killed = end(pid) || killed;
  };
  await until(
    'the trainer to be killed, or the job to end',
    async () => killed || (await lowrank.row(job.id)).state === 'succeeded',
  );
  proxy.onPut = async () => undefined;
  // What a user sees before anybody has made it good.
  const versions = await lowrank.client.versions(job.adapter);
  return { job, killed, seen: versions.filter(({ files }) => files.length < objectsOfVersion - 1).length };
}

/**
 * Two publishers of one job: the first is held up before its manifest and its worker frozen, until another worker has trained the job
 * again and is as far. Then both go on at once.
 */
async function race(
  lowrank: Installation,
  proxy: StoreProxy,
  first: RunningWorker,
  problems: Problems,
): Promise<void> {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  let arrived = 0;
  proxy.before = async (method, key) => {
    if (method !== 'PUT' || !key.startsWith('manifests/')) return;
    arrived += 1;
    await opened;
  };
  const job = await lowrank.submit(tinyRecipe(20, 10, { seed: 100 }));
  await until('the first publisher to arrive', async () => arrived === 1);
  const trainers = await first.program.children();
  first.program.freeze();
  const second = await lowrank.startWorker();
  await until('the second publisher to arrive', async () => arrived === 2);
  open();
  const versions = await lowrank.published(job);
  first.program.thaw();
  await until('the first trainer to end', async () =>
    trainers.every((pid) => !end(pid, 0 as unknown as NodeJS.Signals)),
  );
  await pause(1);
  problems.check(versions.length === 1, `${versions.length} versions by two publishers`);
  problems.check((await lowrank.row(job.id)).epoch === 2, 'the job was not published by its second attempt');
  await second.program.stop();
  proxy.before = async () => undefined;
}

/** Changes a byte of the published weights where they are stored, and asks for them. */
async function flip(lowrank: Installation, proxy: StoreProxy, job: Job, problems: Problems): Promise<number> {
  const [version] = await lowrank.client.versions(job.adapter);
  const weights = version?.files.find(({ path }) => path === 'adapter_model.safetensors');
  if (!weights) throw new Error('the version has no weights');
  await proxy.flipByte(`blobs/${weights.sha256.slice(0, 2)}/${weights.sha256}`, 1000);
  let delivered = 0;
  for (const path of ['files/adapter_model.safetensors', 'archive']) {
    const got = await lowrank.client.download(job.adapter, 1, path).catch(() => null);
    if (got?.status === 200) delivered += 1;
  }
  problems.none(delivered, 'downloads of damaged files went through');
  return delivered;
}

/**
 * The publisher is killed after each of its objects; two publishers of one job arrive at the manifest together, which the proxy in front
 * of the store sees to; a byte of a published file is changed where it is stored.
 */
export const publishers: Failure = {
  id: '12',
  broken: 'publisher killed after each file; two race; a byte flipped',
  required: 'no incomplete version visible, one winner, damage refused',
  run: () =>
    withStore(async (lowrank, proxy) => {
      const problems = new Problems();
      await lowrank.startApi();
      const worker = await lowrank.startWorker();
      await lowrank.prepareCatalog();
      let kills = 0;
      let incomplete = 0;
      let last: Job | null = null;
      for (let put = 1; put <= objectsOfVersion; put += 1) {
        const { job, killed, seen } = await killAfter(lowrank, proxy, worker, put);
        kills += Number(killed);
        incomplete += seen;
        const versions = await lowrank.published(job);
        problems.check(killed, `the trainer was not killed after object ${put}`);
        problems.check(versions.length === 1, `${versions.length} versions after a kill at object ${put}`);
        for (const { path } of versions[0]?.files ?? []) {
          const { status } = await lowrank.client.download(job.adapter, 1, `files/${path}`);
          problems.check(status === 200, `${path} answers ${status}`);
        }
        last = job;
      }
      problems.none(incomplete, 'incomplete versions were visible');
      await race(lowrank, proxy, worker, problems);
      const delivered = await flip(lowrank, proxy, last as Job, problems);
      const twice = await lowrank.publishedTwice();
      problems.none(twice, 'versions published twice');
      return {
        figure: `${kills} kills, one after each of ${objectsOfVersion} objects: ${incomplete} incomplete versions seen; race of two: 1 winner; flipped byte: ${delivered} of 2 downloads went through`,
        problems: problems.list,
        values: { kills, incomplete, twice, delivered },
      };
    }),
};
