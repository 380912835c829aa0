import {
  createCombinationSchema,
  createEvaluationSchema,
  type CreateCombinationInput,
  createExportSchema,
  type CreateExportInput,
  exportFormatSchema,
  type Job,
  setGateSchema,
} from '@lowrank/contracts';
import {
  cancelJob,
  isFinal,
  moveAlias,
  setGate,
  submitCombination,
  submitEvaluation,
  submitExport,
} from '@lowrank/domain';
import { Blobs } from '@lowrank/storage';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Machines, startMachines, until } from './test/machines';
import { type Submitted } from './test/submit';

/** A worker process with real trainers exports and combines versions, on real Postgres. */
describe('a job that does not train', () => {
  let machines: Machines;
  let trained: Submitted;

  beforeAll(async () => {
    machines = await startMachines(30);
    machines.startWorker('alfa');
    trained = await machines.submit();
    await machines.published(trained);
  }, 180_000);
  afterAll(() => machines.end(), 120_000);

  const submitter = () => ({ teamId: trained.teamId, role: 'admin' }) as const;
  const submit = (request: CreateExportInput) => {
    const of = { adapter: trained.job.adapter, version: 'v1' };
    return submitExport(machines.ports, submitter(), of, createExportSchema.parse(request));
  };
  const ended = async ({ id }: Job): Promise<Job> => {
    await until(async () => isFinal((await machines.record(id)).state));
    return machines.record(id);
  };
  const exports = () =>
    machines.ports.unitOfWork.run(({ exports }) => exports.list(trained.teamId, trained.job.adapter, 1));

  it.each(exportFormatSchema.options)(
    'exports as %s, published with a certificate',
    async (format) => {
      const job = await submit({ format });
      const { state, error, step, totalSteps, version } = await ended(job);
      expect({ state, error, version }).toEqual({ state: 'succeeded', error: null, version: null });
      expect(totalSteps).toBeGreaterThan(0);
      expect(step).toBe(totalSteps);
      const found = (await exports()).find((one) => one.format === format);
      expect(found).toMatchObject({ jobId: job.id, version: 1, certificate: { passed: true } });
      const blobs = new Blobs(machines.store);
      for (const { sha256, bytes } of found?.files ?? []) {
        const stored = await blobs.open(sha256);
        expect(stored.bytes).toBe(bytes);
        stored.body.destroy();
      }
      const messages = await machines.messagesOf(job.id);
      expect(messages).toContain('Exporting.');
      expect(messages.at(-1)).toMatch(
        new RegExp(`^Exported ${trained.job.adapter} v1 as ${format}: divergence`),
      );
      // What is written in between does not stay on the worker.
      expect(await readdir(join(machines.folderOf('alfa'), 'jobs', job.id)).catch(() => [])).not.toContain(
        'export',
      );
    },
    120_000,
  );

  it('whose export does not answer alike fails with the figures, and publishes nothing', async () => {
    const before = await exports();
    const job = await submit({ format: 'gguf-q8_0', parity: { klMean: 0 } });
    const { state, error, epoch } = await ended(job);
    expect({ state, epoch, code: error?.code }).toEqual({ state: 'failed', epoch: 1, code: 'parity_failed' });
    expect(error?.message).toMatch(
      /divergence is \S+ nats on average, at most \S+, allowed are 0; .* needed are 97 %/,
    );
    expect(await exports()).toEqual(before);
  }, 60_000);

  const combine = async (request: Partial<CreateCombinationInput>) => {
    const versions = [{ adapter: trained.job.adapter }, { adapter: trained.job.adapter }];
    const body = createCombinationSchema.parse({ adapter: 'combined', versions, ...request });
    return ended(await submitCombination(machines.ports, submitter(), body));
  };
  const versionOf = (number: number) =>
    machines.ports.unitOfWork.run(({ adapters }) => adapters.version(trained.teamId, 'combined', number));

  it('combines versions into the next one, which is as good as they are', async () => {
    const [one] = await machines.ports.unitOfWork.run(({ adapters }) =>
      adapters.versions(trained.teamId, trained.job.adapter),
    );
    expect(await combine({})).toMatchObject({ state: 'succeeded', error: null, version: 1 });
    const same = await versionOf(1);
    expect(same?.recipe.lora).toMatchObject({ rank: 8, alpha: 8 });
    expect(same?.metrics).toMatchObject({ steps: 0, trainLoss: null });
    // Half of an adapter and half of it again, on the rows that were held out from it.
    expect(same?.metrics.evalLossAfter).toBeCloseTo(one?.metrics.evalLossAfter as number, 4);
    expect(same?.metrics.evalLossBefore).toBeCloseTo(one?.metrics.evalLossBefore as number, 6);
    expect(same?.files.map(({ path }) => path).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
    expect(same?.certificate).toMatchObject({ reference: 'sum', passed: true, sum: null });
    const lenient = { klMean: 100, agreement: 0 };
    const second = await combine({ method: 'svd', rank: 2, parity: lenient });
    expect(second).toMatchObject({ state: 'succeeded', version: 2 });
    expect(second.work).toMatchObject({ kind: 'combine', settings: { method: 'svd', weights: [0.5, 0.5] } });
    expect((await versionOf(2))?.recipe.lora.rank).toBe(2);
    expect((await versionOf(2))?.certificate).toMatchObject({ thresholds: lenient, passed: true });
    expect(await machines.messagesOf(second.id)).toContain('Combining.');
    const rough = await combine({ method: 'svd', rank: 1, parity: { klMean: 0 } });
    expect(rough).toMatchObject({ state: 'failed', version: null, error: { code: 'parity_failed' } });
    expect(rough.error?.message).toContain('as the adapters do together with their weights: over');
    expect(await versionOf(3)).toBeNull();
  }, 120_000);

  it('evaluates a version, and moves the alias that waited for it', async () => {
    const { adapter } = trained.job;
    const prod = { adapter, alias: 'prod', actor: 'key_a' };
    const dataset = trained.job.dataset.id;
    const checks = [
      { measure: { metric: 'loss' as const }, threshold: 100 },
      { measure: { metric: 'regex' as const, pattern: '^' }, threshold: 1 },
    ];
    const gate = setGateSchema.parse({ dataset, checks, limits: { maxRows: 8, maxTokens: 4 } });
    await setGate(machines.ports, trained.teamId, prod, gate);
    const move = () => moveAlias(machines.ports, trained.teamId, prod, { version: 'v1' });
    await expect(move()).rejects.toMatchObject({ code: 'gate_not_passed' });
    const deed = { actor: { type: 'key' as const, id: 'key_a', name: 'a' }, requestId: 'r' };
    const request = createEvaluationSchema.parse({ alias: 'prod', move: true });
    const of = { adapter, version: 'v1' };
    const job = await submitEvaluation(machines.ports, trained.teamId, of, request, deed);
    expect(await ended(job)).toMatchObject({ state: 'succeeded', error: null, step: 16, totalSteps: 16 });
    expect(
      await machines.ports.unitOfWork.run(({ aliases }) => aliases.list(trained.teamId, adapter)),
    ).toMatchObject([{ name: 'prod', version: 1, movedBy: 'key_a' }]);
    expect((await machines.messagesOf(job.id)).at(-1)).toMatch(
      /^Evaluated \S+ v1 on 8 rows: loss \d\.\d+, regex 1\. Alias 'prod' moved to v1\.$/,
    );
    const { data } = await machines.ports.unitOfWork.run(({ audit }) =>
      audit.list(trained.teamId, { request: 'r', limit: 9 }),
    );
    expect(data).toMatchObject([{ change: 'move', target: { name: `${adapter}@prod` } }]);
  }, 60_000);

  it('is cancelled like any other job', async () => {
    const job = await submit({ format: 'merged', notBefore: '2100-01-01T00:00:00.000Z' });
    expect((await cancelJob(machines.ports, trained.teamId, job.id)).state).toBe('cancelled');
  });
});
