import { createExportSchema, type CreateExportInput, exportFormatSchema, type Job } from '@lowrank/contracts';
import { cancelJob, isFinal, submitExport } from '@lowrank/domain';
import { Blobs } from '@lowrank/storage';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Machines, startMachines, until } from './test/machines';
import { type Submitted } from './test/submit';

/** A worker process with real trainers writes versions in other formats, on real Postgres. */
describe('an export', () => {
  let machines: Machines;
  let trained: Submitted;

  beforeAll(async () => {
    machines = await startMachines(30);
    machines.startWorker('alfa');
    trained = await machines.submit();
    await machines.published(trained);
  }, 180_000);
  afterAll(() => machines.end(), 120_000);

  const submit = (request: CreateExportInput) => {
    const of = { adapter: trained.job.adapter, version: 'v1' };
    return submitExport(machines.ports, trained.teamId, of, createExportSchema.parse(request));
  };
  const ended = async ({ id }: Job): Promise<Job> => {
    await until(async () => isFinal((await machines.record(id)).state));
    return machines.record(id);
  };
  const exports = () =>
    machines.ports.unitOfWork.run(({ exports }) => exports.list(trained.teamId, trained.job.adapter, 1));

  it.each(exportFormatSchema.options)(
    'as %s is published with its certificate',
    async (format) => {
      const job = await submit({ format });
      const { state, error, step, totalSteps, version } = await ended(job);
      expect({ state, error, version }).toEqual({ state: 'succeeded', error: null, version: null });
      expect(totalSteps).toBeGreaterThan(0);
      expect(step).toBe(totalSteps);
      const found = (await exports()).find((one) => one.format === format);
      expect(found).toMatchObject({ jobId: job.id, version: 1, certificate: { passed: true } });
      const blobs = new Blobs(machines.store);
      for (const { sha256, bytes } of found?.files ?? [])
        expect((await blobs.open(sha256)).bytes).toBe(bytes);
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

  it('that does not answer alike fails with the figures, and publishes nothing', async () => {
    const before = await exports();
    const job = await submit({ format: 'gguf-q8_0', parity: { klMean: 0 } });
    const { state, error, epoch } = await ended(job);
    expect({ state, epoch, code: error?.code }).toEqual({ state: 'failed', epoch: 1, code: 'parity_failed' });
    expect(error?.message).toMatch(
      /divergence is \S+ nats on average, at most \S+, allowed are 0; .* needed are 97 %/,
    );
    expect(await exports()).toEqual(before);
  }, 60_000);

  it('is cancelled like any other job', async () => {
    const job = await submit({ format: 'merged', notBefore: '2100-01-01T00:00:00.000Z' });
    expect((await cancelJob(machines.ports, trained.teamId, job.id)).state).toBe('cancelled');
  });
});
