import { type JobState } from '@lowrank/contracts';
import {
  beginUpload,
  cancelJob,
  claimAttempt,
  endAttempt,
  type ObjectStore,
  type Ports,
  removeExpiredUploads,
  retryJob,
} from '@lowrank/domain';
import { Checkpoints, createObjectStore } from '@lowrank/storage';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Janitor } from './janitor';
import { submitTestJob } from './test/submit';
import { testWorld, type World } from './test/world';

describe('Janitor', () => {
  let world: World;
  let ports: Ports;
  let root: string;
  let checkpoints: Checkpoints;
  let store: ObjectStore;
  let janitor: Janitor;
  beforeAll(async () => {
    world = await testWorld();
    ports = world.ports;
    root = await mkdtemp(join(tmpdir(), 'lowrank-janitor-'));
    store = createObjectStore({ s3: null, folder: join(root, 'objects') });
    checkpoints = new Checkpoints(store);
  });
  beforeEach(() => {
    janitor = new Janitor(ports.unitOfWork, checkpoints, root, { sweep: 20 }, async () => {
      await removeExpiredUploads({ ...ports, store });
    });
  });
  afterEach(() => janitor.stop());
  afterAll(async () => {
    await rm(root, { recursive: true });
    await world.end();
  });

  /** What an attempt leaves in the store and on this machine. */
  const leave = async (jobId: string, epoch = 1) => {
    await checkpoints.begin({ jobId, epoch });
    const files = ['adapter.state', 'meta.json'].map((name) => ({
      name,
      bytes: 1,
      open: () => Readable.from([Buffer.from('x')]),
    }));
    await checkpoints.put({ jobId, epoch, step: 5 }, files);
    await mkdir(join(root, 'jobs', jobId, 'checkpoints'), { recursive: true });
    await writeFile(join(root, 'jobs', jobId, 'checkpoints', 'file'), '');
  };
  const isOnDisk = (jobId: string) => existsSync(join(root, 'jobs', jobId));
  const isStored = async (jobId: string) => (await checkpoints.list(jobId)).length > 0;
  const left = async (jobId: string) => ({ disk: isOnDisk(jobId), store: await isStored(jobId) });
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await sleep(10);
  };
  /** A job in that state, and what its attempt left. */
  const jobThat = async (state: JobState) => {
    const { job, teamId } = await submitTestJob(ports);
    const attempt = { jobId: job.id, epoch: 1 };
    if (state !== 'queued')
      await claimAttempt(ports, { ...attempt, workerId: null }, ports.ids.make('worker'));
    if (state === 'failed')
      await endAttempt(ports, attempt, { type: 'failed', code: 'internal', message: 'x', retryable: false });
    if (state === 'cancelled') await endAttempt(ports, attempt, { type: 'cancelled' });
    await leave(job.id);
    return { jobId: job.id, teamId };
  };
  const sweep = async () => {
    await janitor.sweepDisk();
    await janitor.sweepStore(new AbortController().signal);
  };

  it('removes what a job has left that ended here', async () => {
    const { jobId } = await jobThat('failed');
    await janitor.clearUp({ jobId, epoch: 1 });
    expect(isOnDisk(jobId)).toBe(false);
    await janitor.stop();
    expect(await left(jobId)).toEqual({ disk: false, store: false });
  });

  it('finds what was left of jobs that have ended, and leaves the others alone', async () => {
    const ended = [await jobThat('failed'), await jobThat('cancelled')];
    const others = [await jobThat('queued'), await jobThat('preparing')];
    // Of another installation that shares the store, or of nobody.
    const strange = { jobId: `job_${'z'.repeat(24)}` };
    await leave(strange.jobId);
    await sweep();
    for (const { jobId } of ended) expect(await left(jobId)).toEqual({ disk: false, store: false });
    for (const { jobId } of [...others, strange])
      expect(await left(jobId)).toEqual({ disk: true, store: true });
    await rm(join(root, 'jobs', strange.jobId), { recursive: true });
  });

  it('keeps on looking, and finds a job that nobody held when it was cancelled', async () => {
    const { jobId, teamId } = await jobThat('queued');
    janitor.start();
    await sleep(100);
    expect(await left(jobId)).toEqual({ disk: true, store: true });
    await cancelJob(ports, teamId, jobId);
    await until(async () => !isOnDisk(jobId) && !(await isStored(jobId)));
  });

  it('removes uploads that nobody has completed in time, and no others', async () => {
    const teamId = await ports.unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('uploads'));
    const upload = { filename: 'chats.jsonl', bytes: 1 };
    const begin = (clock: Ports['clock']) => beginUpload({ ...ports, clock, store }, teamId, upload, 10);
    const stale = await begin({ now: () => new Date(Date.now() - 25 * 3_600_000).toISOString() });
    const fresh = await begin(ports.clock);
    janitor.start();
    const left = () => ports.unitOfWork.look(({ uploads }) => uploads.list(teamId));
    await until(async () => (await left()).every(({ id }) => id !== stale.id));
    expect((await left()).map(({ id }) => id)).toEqual([fresh.id]);
    const keys: string[] = [];
    for await (const key of store.list('uploads/')) keys.push(key);
    expect(keys).toEqual([expect.stringContaining(fresh.id)]);
  });

  it('finds what an attempt that was fenced off writes after the end', async () => {
    const { jobId } = await jobThat('failed');
    await sweep();
    await leave(jobId);
    await sweep();
    expect(await left(jobId)).toEqual({ disk: false, store: false });
  });

  it('leaves alone what a job has written since it was taken up again', async () => {
    const { jobId, teamId } = await jobThat('failed');
    await retryJob(ports, teamId, jobId);
    await leave(jobId, 2);
    // Late, since the store was away when the first attempt ended.
    await janitor.clearUp({ jobId, epoch: 1 });
    await janitor.stop();
    await sweep();
    expect(await checkpoints.list(jobId)).toEqual([{ jobId, epoch: 2, step: 5 }]);
  });

  it('goes on when the store is away for a while', async () => {
    const { jobId } = await jobThat('failed');
    let away = true;
    const flaky = Object.assign(Object.create(checkpoints) as Checkpoints, {
      removeAll: (attempt: { jobId: string; epoch: number }) =>
        away ? Promise.reject(new Error('nobody answers')) : checkpoints.removeAll(attempt),
    });
    janitor = new Janitor(ports.unitOfWork, flaky, root, { sweep: 20 }, async () => undefined);
    await janitor.clearUp({ jobId, epoch: 1 });
    janitor.start();
    await sleep(200);
    expect(await left(jobId)).toEqual({ disk: false, store: true });
    away = false;
    await until(async () => !(await isStored(jobId)));
  });
});
