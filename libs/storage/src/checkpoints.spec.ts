import { codeOf } from '@lowrank/testing';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Checkpoints, type StoredCheckpoint } from './checkpoints';
import { FolderStore } from './folder-store';

const jobId = `job_${'a'.repeat(24)}`;
const other = `job_${'b'.repeat(24)}`;
const hashOf = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex');
const at = (step: number, epoch = 1, job = jobId): StoredCheckpoint => ({ jobId: job, epoch, step });

describe('Checkpoints', () => {
  let root: string;
  let store: FolderStore;
  let checkpoints: Checkpoints;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-checkpoints-'));
    store = new FolderStore(join(root, 'objects'));
    checkpoints = new Checkpoints(store);
  });
  afterEach(() => rm(root, { recursive: true }));

  const contents = (step: number, run = 'run') => {
    const state = Buffer.alloc(1000, step);
    const progress = JSON.stringify({ step });
    const files = { 'adapter.state': hashOf(state), 'progress.json': hashOf(progress) };
    return {
      'adapter.state': state,
      'progress.json': progress,
      'meta.json': JSON.stringify({ format: 1, run, files }),
    };
  };
  const filesOf = (step: number, run?: string) =>
    Object.entries(contents(step, run)).map(([name, content]) => ({
      name,
      bytes: Buffer.byteLength(content),
      open: () => Readable.from([Buffer.from(content)]),
    }));
  const put = (step: number, epoch = 1, job = jobId) => checkpoints.put(at(step, epoch, job), filesOf(step));
  const steps = async (job = jobId) => (await checkpoints.list(job)).map(({ step, epoch }) => [step, epoch]);
  const keys = async () => {
    const all: string[] = [];
    for await (const key of store.list('checkpoints/')) all.push(key.slice('checkpoints/'.length));
    return all;
  };
  const stored = (step: number, file: string, epoch = 1) => {
    const digits = (n: number) => String(n).padStart(8, '0');
    return join(root, `objects/checkpoints/${jobId}/step-${digits(step)}-${digits(epoch)}/${file}`);
  };
  const fetched = join('job', 'tmp-1');
  const fetch = (step: number, { run = 'run', epoch = 1, signal = new AbortController().signal } = {}) =>
    checkpoints.fetchTo(at(step, epoch), join(root, fetched), { run, signal });

  it('come back as they were, the newest first', async () => {
    for (const step of [9, 100, 10]) expect(await put(step)).toBe(true);
    await put(10, 2);
    expect(await steps()).toEqual([
      [100, 1],
      [10, 2],
      [10, 1],
      [9, 1],
    ]);
    await fetch(100);
    for (const [name, content] of Object.entries(contents(100)))
      expect(await readFile(join(root, fetched, name))).toEqual(Buffer.from(content));
    expect((await readdir(join(root, fetched))).sort()).toEqual([
      'adapter.state',
      'meta.json',
      'progress.json',
    ]);
  });

  it('are none of a job that has written none', async () => {
    expect(await steps()).toEqual([]);
    await checkpoints.begin({ jobId, epoch: 1 });
    expect(await steps()).toEqual([]);
    await put(5, 1, other);
    expect(await steps()).toEqual([]);
  });

  it('are there only when the last of their files is', async () => {
    const files = filesOf(5);
    const broken = [...files.slice(0, 1), { ...files[1], open: () => Readable.from([]) }, files[2]];
    await expect(checkpoints.put(at(5), broken as typeof files)).rejects.toThrow(/announced/);
    expect(await steps()).toEqual([]);
    expect(await keys()).toEqual([`${jobId}/step-00000005-00000001/adapter.state`]);
    await expect(checkpoints.put(at(5), files.slice(0, 2))).rejects.toThrow('meta.json has to come last');
  });

  it.each<[string, string, () => Promise<unknown>]>([
    ['a flipped bit', 'integrity_failed', () => writeFile(stored(5, 'adapter.state'), Buffer.alloc(1000, 4))],
    ['a short file', 'integrity_failed', () => truncate(stored(5, 'adapter.state'), 999)],
    ['an empty file', 'integrity_failed', () => truncate(stored(5, 'progress.json'), 0)],
    ['a missing file', 'not_found', () => rm(stored(5, 'progress.json'))],
    ['no list of files', 'not_found', () => rm(stored(5, 'meta.json'))],
    ['an unreadable list of files', 'integrity_failed', () => truncate(stored(5, 'meta.json'), 40)],
    [
      'a list that names a file elsewhere',
      'integrity_failed',
      () =>
        writeFile(
          stored(5, 'meta.json'),
          JSON.stringify({ format: 1, run: 'run', files: { '../../x.y': '0'.repeat(64) } }),
        ),
    ],
  ])('with %s are refused', async (_title, code, damage) => {
    await put(5);
    await damage();
    expect(await codeOf(fetch(5))).toBe(code);
  });

  it('of another run are refused before anything is written', async () => {
    await put(5);
    expect(await codeOf(fetch(5, { run: 'other' }))).toBe('conflict');
    expect(await readdir(root)).toEqual(['objects']);
  });

  it('stop coming when nobody waits for them any more', async () => {
    await put(5);
    const signal = AbortSignal.abort();
    await expect(fetch(5, { signal })).rejects.toMatchObject({ name: 'AbortError' });
  });

  it('are kept two at a time', async () => {
    for (const step of [10, 20, 30, 40]) {
      await put(step);
      await checkpoints.prune(at(step));
    }
    expect(await steps()).toEqual([
      [40, 1],
      [30, 1],
    ]);
    expect(await keys()).toHaveLength(6);
    expect(await readdir(join(root, 'objects/checkpoints', jobId))).toHaveLength(2);
  });

  it('that did not load, or are not whole, make room and push nothing out', async () => {
    await put(10);
    await put(20);
    await rm(stored(20, 'meta.json'));
    await put(90);
    await checkpoints.begin({ jobId, epoch: 2 });
    // The second attempt went on from step 10.
    await put(30, 2);
    await checkpoints.prune(at(30, 2));
    expect(await steps()).toEqual([
      [30, 2],
      [10, 1],
    ]);
    expect(await keys()).toHaveLength(7);
  });

  it('are neither written nor removed by an attempt after which another has begun', async () => {
    await checkpoints.begin({ jobId, epoch: 1 });
    for (const step of [10, 20, 30]) await put(step);
    await checkpoints.begin({ jobId, epoch: 2 });
    const before = await keys();
    let opened = 0;
    const files = filesOf(40).map((file) => ({ ...file, open: () => (opened++, file.open()) }));
    expect(await checkpoints.put(at(40), files)).toBe(false);
    expect(opened).toBe(0);
    await checkpoints.prune(at(30));
    expect(await keys()).toEqual(before);
    // The second attempt is not bound by that, and a third's mark outlives what it removes.
    expect(await put(40, 2)).toBe(true);
    await checkpoints.prune(at(40, 2));
    expect(await steps()).toEqual([
      [40, 2],
      [30, 1],
    ]);
    expect(await checkpoints.put(at(50), filesOf(50))).toBe(false);
  });

  it('are removed with a job, up to the attempt that it ended with', async () => {
    await checkpoints.begin({ jobId, epoch: 1 });
    await put(10);
    await put(10, 1, other);
    await checkpoints.begin({ jobId, epoch: 2 });
    await put(20, 2);
    await checkpoints.removeAll({ jobId, epoch: 1 });
    expect(await steps()).toEqual([[20, 2]]);
    expect(await put(20)).toBe(false);
    await checkpoints.removeAll({ jobId, epoch: 2 });
    expect((await keys()).every((key) => key.startsWith(other))).toBe(true);
    expect(await readdir(join(root, 'objects/checkpoints'))).toEqual([other]);
  });

  it('say of which jobs there are any', async () => {
    const all = async () => {
      const ids: string[] = [];
      for await (const id of checkpoints.jobs()) ids.push(id);
      return ids;
    };
    expect(await all()).toEqual([]);
    await put(10);
    await put(20);
    await checkpoints.begin({ jobId: other, epoch: 1 });
    expect(await all()).toEqual([jobId, other]);
  });

  it('are streamed, however long they are', async () => {
    const state = randomBytes(24 * 2 ** 20);
    const meta = JSON.stringify({ format: 1, run: 'run', files: { 'adapter.state': hashOf(state) } });
    const pieces = Array.from({ length: 24 }, (_, i) => state.subarray(i * 2 ** 20, (i + 1) * 2 ** 20));
    await checkpoints.put(at(5), [
      { name: 'adapter.state', bytes: state.length, open: () => Readable.from(pieces) },
      { name: 'meta.json', bytes: meta.length, open: () => Readable.from([Buffer.from(meta)]) },
    ]);
    await fetch(5);
    expect(hashOf(await readFile(join(root, fetched, 'adapter.state')))).toBe(hashOf(state));
  });
});
