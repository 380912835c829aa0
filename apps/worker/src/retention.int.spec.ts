import { createUnitOfWork } from '@lowrank/db';
import { addDataset, blobsLock, deleteDataset, type Ports, randomIds, removeForGood } from '@lowrank/domain';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { testDatabase, type TestDatabase } from '@lowrank/testing';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { publishingOn } from './publication';

const dayMs = 86_400_000;
const files = [Buffer.from('one'), Buffer.from('two')];

let database: TestDatabase;
let folder: string;
let teamId: string;
let ports: Ports;
let elapsedMs = 0;
const store = () => createObjectStore({ s3: null, folder: join(folder, 'objects') });
const blobs = () => new Blobs(store());

beforeAll(async () => {
  database = await testDatabase();
  folder = await mkdtemp(join(tmpdir(), 'lowrank-retention-'));
  const unitOfWork = createUnitOfWork(database.url);
  const clock = { now: () => new Date(Date.now() + elapsedMs).toISOString() };
  ports = { unitOfWork, clock, ids: randomIds };
  teamId = await unitOfWork.run(({ apiKeys }) => apiKeys.ensureTeam('crew'));
});
afterAll(async () => {
  await ports.unitOfWork.close();
  await database.drop();
  await rm(folder, { recursive: true });
});

let uploads = 0;
/** Stores a file and writes a dataset of it, as an upload does. */
const upload = (content: Buffer, between: () => Promise<unknown> = async () => undefined) =>
  ports.unitOfWork.sharing(blobsLock, async () => {
    const { sha256, bytes } = await blobs().put(content);
    await between();
    const facts = { format: 'chat' as const, rows: 1, tokens: null, lossTokens: null, tokensOf: null };
    // Of one name the same content would be one dataset.
    return addDataset(ports, teamId, {
      name: `x-${++uploads}`,
      filename: 'x.jsonl',
      sha256,
      bytes,
      ...facts,
    });
  });
const removeNow = () =>
  removeForGood(ports, { retentionMs: 30 * dayMs, removeBlob: (sha256) => blobs().remove(sha256) });
const isStored = async (file: { sha256: string; bytes: number }) => (await blobs().missing([file])) === null;

it('removes the bytes of a deleted dataset after the retention, unless another has the same', async () => {
  const [first, twin, other] = [
    await upload(files[0] as Buffer),
    await upload(files[0] as Buffer),
    await upload(files[1] as Buffer),
  ];
  for (const { id } of [first, other]) await deleteDataset(ports, teamId, id);
  expect(await removeNow()).toMatchObject({ blobs: 0 });
  elapsedMs += 31 * dayMs;
  expect(await removeNow()).toMatchObject({ blobs: 1 });
  expect([await isStored(first), await isStored(other)]).toEqual([true, false]);
  await deleteDataset(ports, teamId, twin.id);
  elapsedMs += 31 * dayMs;
  expect(await removeNow()).toMatchObject({ blobs: 1 });
  expect(await isStored(first)).toBe(false);
});

it('leaves what somebody has just found to be stored, however close they come', async () => {
  const content = Buffer.from('raced for');
  let removed = 0;
  for (let i = 0; i < 12; i++) {
    const { id } = await upload(content);
    await deleteDataset(ports, teamId, id);
    elapsedMs += 31 * dayMs;
    // The removal begins before, between or after what the upload does; either way the row's bytes are there.
    const removal = sleep(2 * i).then(removeNow);
    const again = await upload(content, () => sleep(10));
    removed += (await removal).blobs;
    expect(await isStored(again)).toBe(true);
    await removeNow();
    expect(await isStored(again)).toBe(true);
    await deleteDataset(ports, teamId, again.id);
  }
  elapsedMs += 31 * dayMs;
  removed += (await removeNow()).blobs;
  expect(removed).toBeGreaterThan(0);
  expect(await isStored({ ...(await blobs().put(Buffer.from('raced for'))), bytes: 1 })).toBe(false);
});

it('waits while something is published, and is waited for', async () => {
  const order: string[] = [];
  const holding = ports.unitOfWork.sharing(blobsLock, async () => {
    // Others share it.
    await ports.unitOfWork.sharing(blobsLock, async () => order.push('shared'));
    expect(await ports.unitOfWork.exclusively(blobsLock, async () => true)).toBeUndefined();
    order.push('published');
  });
  await holding;
  await ports.unitOfWork.exclusively(blobsLock, async () => {
    const waiting = ports.unitOfWork.sharing(blobsLock, async () => order.push('after'));
    await sleep(100);
    order.push('removed');
    void waiting;
  });
  await ports.unitOfWork.sharing(blobsLock, async () => order.push('last'));
  expect(order.slice(0, 3)).toEqual(['shared', 'published', 'removed']);
});

it('publishes nothing whose files are gone, and lets another attempt publish them again', async () => {
  const stored = { path: 'adapter_model.safetensors', ...(await blobs().put(Buffer.from('weights'))) };
  const jobId = randomIds.make('job');
  const key = `manifests/${jobId}.json`;
  await store().put(key, Buffer.from('{}'), { bytes: 2 });
  const publishing = publishingOn(ports.unitOfWork, store());
  expect(await publishing.publish({ jobId, files: [stored] }, async () => 'written')).toBe('written');
  expect(await publishing.keep([stored], async () => false)).toBe(false);
  await blobs().remove(stored.sha256);
  expect(await publishing.keep([stored], () => Promise.reject(new Error('written')))).toBe(true);
  const refused = publishing.publish({ jobId, files: [stored] }, async () => 'written');
  await expect(refused).rejects.toThrow(
    'adapter_model.safetensors of what was published is not in the object store',
  );
  expect(await store().head(key)).toBeNull();
});
