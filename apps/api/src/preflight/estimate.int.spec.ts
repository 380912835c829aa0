import {
  type Dataset,
  type Estimate,
  errorBodySchema,
  estimateSchema,
  type JobDetail,
} from '@lowrank/contracts';
import { philox } from '@lowrank/domain';
import { blobKey } from '@lowrank/storage';
import { makeWorker, tinyPreferences } from '@lowrank/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from '../test/api';

let api: TestApi;
let dataset: Dataset;
beforeAll(async () => {
  api = await TestApi.start();
  await api.importTiny();
});
beforeEach(async () => {
  dataset = await api.upload();
});
afterEach(async () => {
  const seen = await api.ports.unitOfWork.run(({ workers }) => workers.seenSince(new Date(0).toISOString()));
  for (const { id } of seen) await api.ports.unitOfWork.run(({ workers }) => workers.remove(id));
});
afterAll(() => api.close());

const request = (overrides: Record<string, unknown> = {}) => ({
  baseModel: 'tiny',
  dataset: dataset.id,
  recipe: { training: { sequenceLength: 64 } },
  ...overrides,
});
const estimate = (overrides?: Record<string, unknown>) =>
  api.call<Estimate>('POST', '/api/v1/jobs/estimate', 200, { json: request(overrides) });
const submit = (overrides?: Record<string, unknown>) =>
  api.call<JobDetail>('POST', '/api/v1/jobs', 201, { json: request({ adapter: 'captain', ...overrides }) });
const addWorker = (overrides: Parameters<typeof makeWorker>[0]) =>
  api.ports.unitOfWork.run(({ workers }) =>
    workers.upsert(makeWorker({ seenAt: new Date().toISOString(), ...overrides })),
  );
const keys = async (prefix: string): Promise<string[]> => {
  const found: string[] = [];
  for await (const key of api.store.list(prefix)) found.push(key);
  return found;
};
const forgetLengths = async () => {
  for (const key of await keys('lengths/')) await api.store.delete(key);
};

describe('POST /api/v1/jobs/estimate', () => {
  it('says what a job would take, and submits nothing', async () => {
    await addWorker({ memoryBytes: 2 ** 34 });
    const answer = await estimate();
    expect(estimateSchema.parse(answer)).toEqual(answer);
    expect(answer).toMatchObject({
      data: { rows: 23, heldOutRows: 1, sequences: 23, steps: expect.any(Number) },
      memory: { bytes: expect.any(Number), sharedBytes: expect.any(Number) },
      devices: [{ deviceClass: 'cpu', workers: 1, fits: true, basis: 'device', measuredJobs: 0 }],
      servability: { peft: { servable: true } },
      warnings: [],
    });
    expect(await api.call('GET', '/api/v1/jobs', 200)).toEqual({ data: [], hasMore: false });
    expect(await api.call('GET', '/api/v1/adapters', 200)).toEqual({ data: [], hasMore: false });
  });

  it('reads the dataset once: the upload has counted it already', async () => {
    expect(await keys('lengths/')).toHaveLength(1);
    const { body } = await api.store.get(blobKey(dataset.sha256));
    const bytes = Buffer.concat(await body.toArray());
    await api.store.delete(blobKey(dataset.sha256));
    const counted = await estimate();
    expect(counted.data?.sequences).toBe(23);
    // Now nobody has counted it, and nobody can.
    await forgetLengths();
    const unknown = await estimate();
    expect(unknown).toMatchObject({
      data: null,
      memory: { bytes: expect.any(Number) },
      operations: null,
    });
    expect(unknown.warnings[0]).toMatch(
      /^The tokens are not counted: .*Steps and time are not known, and the memory is that of full rows\.$/,
    );
    await api.store.put(blobKey(dataset.sha256), bytes, { bytes: bytes.length });
    expect((await estimate()).data).toEqual(counted.data);
    expect(await keys('lengths/')).toHaveLength(1);
    expect(await api.staged()).toEqual([]);
  });

  it('counts pairs of a preference dataset', async () => {
    const { id } = await api.call<Dataset>('POST', '/api/v1/files', 201, {
      body: api.form(tinyPreferences(12)),
    });
    await forgetLengths();
    const recipe = { objective: { type: 'dpo' }, training: { sequenceLength: 128 } };
    expect((await estimate({ dataset: id, recipe })).data).toMatchObject({ rows: 11, sequences: 22 });
  });

  it('refuses what is sure to fail', async () => {
    const tooLong = { training: { sequenceLength: 16, tooLong: 'fail' } };
    expect(
      await api.refusal('POST', '/api/v1/jobs/estimate', { json: request({ recipe: tooLong }) }),
    ).toMatchObject({
      status: 422,
      code: 'sequence_too_long',
      details: [{ path: 'recipe.training.sequenceLength' }],
    });
  });

  it('needs a key, and sees its own team alone', async () => {
    expect((await api.fetch('POST', '/api/v1/jobs/estimate', { key: null, json: request() })).status).toBe(
      401,
    );
    const unknown = { json: request({ dataset: `data_${'a'.repeat(24)}` }) };
    expect(await api.refusal('POST', '/api/v1/jobs/estimate', unknown)).toMatchObject({ status: 404 });
  });
});

describe('a submitted job', () => {
  it('keeps its estimate, which the list leaves out', async () => {
    await addWorker({ memoryBytes: 2 ** 34 });
    const job = await submit();
    expect(job.estimate).toEqual(await estimate());
    expect(await api.call('GET', `/api/v1/jobs/${job.id}`, 200)).toEqual(job);
    const { data } = await api.call<{ data: object[] }>('GET', '/api/v1/jobs', 200);
    expect(data[0]).toMatchObject({ id: job.id });
    expect(data[0]).not.toHaveProperty('estimate');
    const clone = await api.call<JobDetail>('POST', `/api/v1/jobs/${job.id}/clone`, 201, { json: {} });
    expect(clone.estimate?.data).toEqual(job.estimate?.data);
    await api.call('POST', `/api/v1/jobs/${job.id}/cancel`, 200);
    expect(await api.call('POST', `/api/v1/jobs/${job.id}/retry`, 200)).toMatchObject({ state: 'queued' });
  });

  it('is refused where no worker fits, by name and with what would help', async () => {
    const recipe = { training: { sequenceLength: 128, rows: 64, checkpointActivations: false } };
    const { bytes } = (await estimate({ recipe })).memory ?? { bytes: 0 };
    await addWorker({ memoryBytes: bytes - 4_000_000 });
    const error = await api.refusal('POST', '/api/v1/jobs', {
      json: request({ adapter: 'captain', recipe }),
    });
    expect(error).toMatchObject({ status: 422, code: 'no_worker_fits' });
    expect(error.details?.[0]?.message).toMatch(/^cpu: it takes 0\.\d\d GB at its peak/);
    const overruled = { recipe, placement: { memoryBytes: bytes - 4_000_000 } };
    expect((await submit(overruled)).estimate?.warnings[0]).toMatch(/^placement\.memoryBytes is/);
  });

  it('is accepted without an estimate of its data where the tokenizer is gone', async () => {
    await forgetLengths();
    const { files } = await api.call<{ files: { path: string; sha256: string }[] }>(
      'GET',
      '/api/v1/base-models/tiny',
      200,
    );
    const key = blobKey(files.find(({ path }) => path === 'tokenizer.json')?.sha256 ?? '');
    const { body } = await api.store.get(key);
    const bytes = Buffer.concat(await body.toArray());
    await api.store.delete(key);
    let job: JobDetail;
    try {
      const known = { data: null, memory: { bytes: expect.any(Number) }, operations: null };
      job = await submit();
      expect(job.estimate).toMatchObject(known);
    } finally {
      await api.store.put(key, bytes, { bytes: bytes.length });
    }
    // Whoever has them counted completes the estimate of the job.
    const { data, memory } = await estimate();
    const ofJob = async () => (await api.call<JobDetail>('GET', `/api/v1/jobs/${job.id}`, 200)).estimate;
    for (const end = Date.now() + 20_000; !(await ofJob())?.data && Date.now() < end; await sleep(200));
    expect(await ofJob()).toMatchObject({ data, memory });
    expect((await submit()).estimate?.data?.sequences).toBe(23);
  }, 60_000);
});

describe('bodies of an estimate', () => {
  /** Numbers that depend on nothing but how often it was called. */
  let called = 0;
  const below = (bound: number): number => philox([(called += 1), 0, 0, 0], [7, 0])[0] % bound;
  const junk: unknown[] = [
    ...[null, true, -1, 0, 1.5, 1e308, -1e308, 2 ** 53, '', 'x', '\0', '../..', 'NaN', '9'.repeat(400)],
    ...[
      [],
      {},
      [null],
      [[]],
      { type: 'dpo' },
      { $ne: 1 },
      { __proto__: { rank: 1 } },
      'all-linear',
      '(((a+)+)+)+b',
    ],
  ];
  const whole = () => ({
    baseModel: 'tiny',
    dataset: dataset.id,
    adapter: 'captain',
    priority: 0,
    placement: { deviceClasses: ['cpu'], memoryBytes: 2 ** 30 },
    notBefore: '2026-12-24T18:00:00Z',
    deadline: null,
    recipe: {
      base: { quantization: 'nf4' },
      objective: { type: 'sft' },
      lora: {
        rank: 8,
        alpha: 16,
        targets: 'all-linear',
        layers: [0],
        rankPattern: { q_proj: 4 },
        dora: false,
      },
      training: {
        epochs: 1,
        steps: null,
        sequenceLength: 64,
        rows: 2,
        accumulation: 1,
        tooLong: 'truncate',
        seed: 1,
      },
      optimizer: { name: 'adamw', learningRate: 0.1 },
      evaluation: { fraction: 0.1, everySteps: 1 },
      checkpoints: { everySteps: 1 },
    },
  });

  /** Puts something else somewhere. */
  function mutate(value: Record<string, unknown>): void {
    const names = Object.keys(value);
    const name = names[below(names.length)] as string;
    const inner = value[name];
    const goDeeper = typeof inner === 'object' && inner !== null && !Array.isArray(inner) && below(4) > 0;
    if (goDeeper && Object.keys(inner).length > 0) return mutate(inner as Record<string, unknown>);
    const way = below(8);
    if (way === 0) delete value[name];
    else value[way === 1 ? `${name}s` : name] = junk[below(junk.length)];
  }

  it('are answered or refused, never with a failure of the server', async () => {
    await api.call('POST', '/api/v1/jobs/estimate', 200, { json: whole() });
    const refused: string[] = [];
    for (let i = 0; i < 300; i += 1) {
      const json = whole();
      for (let n = below(3); n >= 0; n -= 1) mutate(json);
      const response = await api.fetch('POST', '/api/v1/jobs/estimate', { json });
      const answer: unknown = await response.json();
      const fine =
        response.status === 200 ? estimateSchema.safeParse(answer) : errorBodySchema.safeParse(answer);
      const known = [200, 400, 404, 422].includes(response.status);
      expect({ json, answer, known, fine: fine.success }).toEqual({ json, answer, known: true, fine: true });
      if (response.status !== 200) refused.push(errorBodySchema.parse(answer).error.code);
    }
    expect(refused.length).toBeGreaterThan(100);
    expect(refused.length).toBeLessThan(300);
  }, 120_000);
});
