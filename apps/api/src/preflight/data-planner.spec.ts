import { type BaseModel, type Dataset, type StoredFile } from '@lowrank/contracts';
import { loadConfig } from '@lowrank/config';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { makeBaseModel, makeDataset, makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Staging } from '../http/staging';
import { type CountedLengthsOptions } from './counted-lengths';
import { StoredDataPlanner } from './data-planner';
import { keyOf, StoredLengths } from './stored-lengths';

const recipe = makeRecipe({ training: { sequenceLength: 64 } });
let root: string;
let store: ReturnType<typeof createObjectStore>;
let blobs: Blobs;
let baseModel: BaseModel;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-planner-'));
  store = createObjectStore({ s3: null, folder: join(root, 'objects') });
  blobs = new Blobs(store);
  await writeTinyModel(join(root, 'model'));
  const files: StoredFile[] = [];
  for (const path of await readdir(join(root, 'model')))
    files.push({ path, ...(await blobs.putFile(join(root, 'model', path))) });
  baseModel = makeBaseModel({ files });
});
afterAll(() => rm(root, { recursive: true }));

async function addDataset(text: string): Promise<Dataset> {
  await writeFile(join(root, 'data.jsonl'), text);
  return makeDataset(await blobs.putFile(join(root, 'data.jsonl')));
}
function planner({
  patienceMs,
  onCounted,
  signal = new AbortController().signal,
}: Partial<Pick<CountedLengthsOptions, 'patienceMs' | 'signal' | 'onCounted'>> = {}) {
  const staging = new Staging(loadConfig({ LOWRANK_DATA: join(root, 'data') }));
  return new StoredDataPlanner({
    blobs,
    lengths: new StoredLengths(store),
    staging,
    signal,
    patienceMs,
    onCounted,
  });
}

it('counts a dataset once, however many ask at a time, and keeps what it has counted', async () => {
  const dataset = await addDataset(tinyDataset(30));
  const fetched = jest.spyOn(blobs, 'fetchTo');
  const one = planner();
  const plans = await Promise.all(Array.from({ length: 5 }, () => one.plan(baseModel, dataset, recipe)));
  expect(plans[0]).toMatchObject({ conversations: 30 });
  expect(new Set(plans.map((plan) => JSON.stringify(plan))).size).toBe(1);
  const ofDataset = fetched.mock.calls.filter(([sha256]) => sha256 === dataset.sha256);
  expect(ofDataset).toHaveLength(1);
  fetched.mockClear();
  expect(await planner().plan(baseModel, dataset, recipe)).toEqual(plans[0]);
  expect(fetched).not.toHaveBeenCalled();
});

it('tells of what was counted after nobody waited for it any more, once', async () => {
  const dataset = await addDataset(tinyDataset(47));
  const counted = jest.fn();
  const told = new Promise<void>((resolve) => counted.mockImplementation(resolve));
  const hasty = planner({ patienceMs: 0, onCounted: counted });
  expect(await hasty.plan(baseModel, dataset, recipe)).toHaveProperty('problem');
  await told;
  expect(await planner().plan(baseModel, dataset, recipe)).toMatchObject({ conversations: 47 });
  expect(counted.mock.calls).toEqual([[baseModel, dataset]]);
});

it('does not keep a request waiting; a later one finds it counted', async () => {
  const dataset = await addDataset(tinyDataset(31));
  const hasty = planner({ patienceMs: 0 });
  expect(await hasty.plan(baseModel, dataset, recipe)).toEqual({
    problem: expect.stringMatching(/is large, and still being counted; ask again in a minute$/),
  });
  let plan = await hasty.plan(baseModel, dataset, recipe);
  while ('problem' in plan) {
    await sleep(20);
    plan = await hasty.plan(baseModel, dataset, recipe);
  }
  expect(plan.conversations).toBe(31);
});

it('says what the trainer would say of rows that it cannot use', async () => {
  const dataset = await addDataset(`${tinyDataset(3)}{"messages": []}\n`);
  await expect(planner().plan(baseModel, dataset, recipe)).rejects.toMatchObject({
    code: 'dataset_invalid',
    details: [{ line: 4 }],
  });
});

it.each([
  ['without a tokenizer', () => ({ ...baseModel, files: [] }), /tokenizer\.json/],
  [
    'whose tokenizer is gone',
    () => ({
      ...baseModel,
      files: baseModel.files.map((file) => ({ ...file, sha256: 'f'.repeat(64) })),
    }),
    /f{64}/,
  ],
])('knows nothing of a base model %s', async (_title, model, problem) => {
  const dataset = await addDataset(tinyDataset(5));
  expect(await planner().plan(model(), dataset, recipe)).toEqual({ problem: expect.stringMatching(problem) });
});

it('leaves nothing behind when the API closes', async () => {
  const dataset = await addDataset(tinyDataset(32));
  const closing = new AbortController();
  const counted = planner({ signal: closing.signal }).plan(baseModel, dataset, recipe);
  closing.abort();
  expect(await counted).toEqual({ problem: 'counting them failed' });
  expect(await readdir(join(root, 'data', 'staging'))).toEqual([]);
});

describe('what lengths are kept by', () => {
  const dataset = makeDataset();
  const other = (path: string, sha256 = 'e'.repeat(64)): BaseModel => ({
    ...baseModel,
    files: [...baseModel.files.filter((file) => file.path !== path), { path, sha256, bytes: 1 }],
  });

  it.each(['tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja', 'generation_config.json'])(
    'is another for another %s',
    (path) => expect(keyOf(other(path), dataset)).not.toBe(keyOf(baseModel, dataset)),
  );

  it('is another for another dataset or format, and the same for other weights and another order', () => {
    const key = keyOf(baseModel, dataset);
    expect(keyOf(baseModel, { ...dataset, sha256: 'd'.repeat(64) })).not.toBe(key);
    expect(keyOf(baseModel, { ...dataset, format: 'alpaca' })).not.toBe(key);
    expect(keyOf(other('model.safetensors'), dataset)).toBe(key);
    expect(keyOf({ files: [...baseModel.files].reverse() }, dataset)).toBe(key);
  });

  it('is not trusted when its bytes are damaged', async () => {
    const lengths = new StoredLengths(store);
    const damaged = Buffer.from('LRLEN1\r\nnot whole');
    await store.put(keyOf(baseModel, dataset), damaged, { bytes: damaged.length });
    expect(await lengths.find(baseModel, dataset)).toBeNull();
  });
});
