import {
  createExportSchema,
  type CreateExportInput,
  type ExportManifest,
  parityThresholds,
  type RecipeInput,
  type Role,
} from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { reportPhase, reportPlan, reportStep } from '../attempts/report-progress';
import { cloneJob } from '../jobs/clone-job';
import { team, World } from '../test/world';
import { publishExport } from './publish-export';
import { submitExport } from './submit-export';

describe('exports', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.publish();
  });

  const submit = (request: CreateExportInput, version = 'v1', role: Role = 'member') =>
    submitExport(
      world,
      { teamId: team, role },
      { adapter: 'captain', version },
      createExportSchema.parse(request),
    );
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'none',
      (error: { code: string }) => error.code,
    );
  const manifestOf = (jobId: string, changes: Partial<ExportManifest> = {}): ExportManifest => ({
    ...{ format: 1, jobId, epoch: 1, exportFormat: 'merged' },
    versionId: world.tables.versions[0]?.id ?? '',
    certificate: {
      ...{ rows: 2, tokens: 20, klMean: 0.001, klMax: 0.1, agreement: 0.99, passed: true },
      thresholds: parityThresholds.merged,
    },
    files: [{ path: 'model.safetensors', sha256: 'a'.repeat(64), bytes: 100 }],
    ...changes,
  });
  const claimed = async () => {
    const { id: jobId, epoch } = await submit({ format: 'merged' });
    await claimAttempt(world, { jobId, epoch }, 'wrk_1');
    await reportPhase(world, { jobId, epoch }, 'running');
    return { jobId, epoch };
  };

  it('are jobs that know the version, its files and what they have to reach', async () => {
    const loose = { format: 'gguf-q8_0', parity: { agreement: 0.5 }, priority: 7 } as const;
    const job = await submit(loose, 'latest', 'admin');
    expect(await codeOf(submit(loose))).toBe('forbidden');
    const [version] = world.tables.versions;
    expect(job).toMatchObject({
      ...{ state: 'queued', adapter: 'captain', priority: 7, estimate: { memory: null } },
      dataset: { id: world.datasetId },
      recipe: version?.recipe,
      work: {
        kind: 'export',
        version: { id: version?.id, adapter: 'captain', number: 1, files: version?.files },
        thresholds: { klMean: parityThresholds['gguf-q8_0'].klMean, agreement: 0.5 },
      },
    });
    expect(world.history(job.id)).toEqual(['state queued 1']);
  });

  it('are compared on a validation dataset when there is one', async () => {
    const validationDataset = world.addDataset();
    const { id } = await submit({ format: 'merged', validationDataset });
    expect(world.job(id).validationDataset?.id).toBe(validationDataset);
    // What a version was validated on while it was trained, unless rows of another dataset are named: all of its own may have been trained on.
    await world.publish({ validationDataset });
    expect((await submit({ format: 'merged' }, 'v2')).validationDataset?.id).toBe(validationDataset);
    const own = await submit({ format: 'merged', dataset: world.datasetId }, 'v2');
    expect(own.validationDataset?.id).toBe(validationDataset);
    const named = await submit({ format: 'merged', dataset: world.addDataset() }, 'v2');
    expect(named.validationDataset).toBeNull();
    const pairs = world.addDataset({ format: 'preference' });
    expect(await codeOf(submit({ format: 'merged', dataset: pairs }))).toBe('validation_failed');
  });

  it('are published once, and end their job', async () => {
    const attempt = await claimed();
    await reportPlan(world, attempt, { totalSteps: 9, resumedFromStep: 0 });
    await reportStep(world, attempt, 4);
    expect(world.job(attempt.jobId).step).toBe(4);
    await reportPhase(world, attempt, 'publishing');
    expect((await publishExport(world, attempt, manifestOf(attempt.jobId)))?.state).toBe('succeeded');
    expect(world.job(attempt.jobId)).toMatchObject({ step: 9, version: null, workerId: null });
    expect(world.tables.exports).toMatchObject([{ format: 'merged', version: 1, jobId: attempt.jobId }]);
    expect(await publishExport(world, attempt, manifestOf(attempt.jobId))).toBeNull();
    const messages = world.tables.events
      .filter(({ jobId }) => jobId === attempt.jobId)
      .map((one) => one.message);
    expect(messages).toContain('Exporting.');
    expect(messages.at(-1)).toBe(
      'Exported captain v1 as merged: divergence 1.00e-3 nats, same likeliest token in 99.00 %.',
    );
  });

  it.each<[string, Partial<ExportManifest>]>([
    ['job', { jobId: `job_${'b'.repeat(24)}` }],
    ['attempt', { epoch: 2 }],
    ['version', { versionId: `ver_${'b'.repeat(24)}` }],
    ['format', { exportFormat: 'gguf-f16' }],
  ])('are not published by the manifest of another %s', async (_, changes) => {
    const attempt = await claimed();
    await reportPhase(world, attempt, 'publishing');
    expect(await codeOf(publishExport(world, attempt, manifestOf(attempt.jobId, changes)))).toBe('conflict');
    expect(world.tables.exports).toEqual([]);
  });

  it('are refused at once where it is known that they cannot be', async () => {
    const lora = (changes: RecipeInput['lora']) => {
      for (const { recipe } of world.tables.versions) Object.assign(recipe.lora, changes);
    };
    lora({ dora: true });
    expect(await codeOf(submit({ format: 'gguf-adapter' }))).toBe('export_unsupported');
    expect(await codeOf(submit({ format: 'merged' }))).toBe('none');
    lora({ dora: false, bias: 'all' });
    expect(await codeOf(submit({ format: 'gguf-adapter' }))).toBe('export_unsupported');
    lora({ bias: 'none' });
    const quantization = { quantization: 'nf4', doubleQuantization: true };
    for (const { decoder } of world.tables.baseModels) Object.assign(decoder ?? {}, { quantization });
    expect(await codeOf(submit({ format: 'gguf-f16' }))).toBe('export_unsupported');
    expect(await codeOf(submit({ format: 'gguf-adapter' }))).toBe('none');
    expect(await codeOf(submit({ format: 'merged' }, 'v2'))).toBe('not_found');
    const gone = { format: 'merged' as const, dataset: `data_${'b'.repeat(24)}` };
    expect(await codeOf(submit(gone))).toBe('not_found');
  });

  it('cannot be cloned, and are trained together with nothing', async () => {
    const worker = world.addWorker({ slots: 1 });
    const { id } = await submit({ format: 'merged' });
    expect(await codeOf(cloneJob(world, team, id, {}))).toBe('illegal_transition');
    await submit({ format: 'merged' });
    const claimed = await claimAttempt(world, { jobId: id, epoch: 1 }, worker.id, 4);
    expect(claimed?.companions).toEqual([]);
  });
});
