import {
  createCombinationSchema,
  type CreateCombinationInput,
  createEvaluationSchema,
  type CreateEvaluationInput,
  createExportSchema,
  type ExportFormat,
  type JobDetail,
} from '@lowrank/contracts';
import { submitEvaluation } from '../evaluations/submit-evaluation';
import { submitExport } from '../exports/submit-export';
import { submitCombination } from '../jobs/submit-combination';
import { llama8b } from '../test/llama-8b';
import { team, World } from '../test/world';

let world: World;
beforeEach(async () => {
  world = new World();
  world.plannedLengths = Array.from({ length: 40 }, (_, i) => 20 + i);
  for (const model of world.tables.baseModels)
    Object.assign(model, { decoder: llama8b, vocabSize: 128_256, contextLength: 8192 });
  const lora = (rank: number) => ({ recipe: { lora: { rank } } });
  await world.publish(lora(8));
  await world.publish(lora(64));
});

const submitter = { teamId: team, role: 'member' } as const;
const version = { adapter: 'captain', version: 'v1' };
const exported = (format: ExportFormat, rest: object = {}) =>
  submitExport(world, submitter, version, createExportSchema.parse({ format, ...rest }));
const combined = (request: Partial<CreateCombinationInput> = {}) => {
  const versions = [version, { adapter: 'captain', version: 'v2' }];
  return submitCombination(
    world,
    submitter,
    createCombinationSchema.parse({ adapter: 'both', versions, ...request }),
  );
};
const evaluated = (request: Partial<CreateEvaluationInput> = {}) => {
  const measures = [{ metric: 'loss' as const }];
  const body = createEvaluationSchema.parse({ dataset: world.datasetId, measures, ...request });
  const deed = { actor: { type: 'key' as const, id: 'key_a', name: 'a' }, requestId: 'r' };
  return submitEvaluation(world, team, version, body, deed);
};
const bytesOf = ({ estimate }: JobDetail): number => {
  const { bytes, parts } = estimate?.memory ?? { bytes: 0, parts: {} };
  expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBeCloseTo(bytes, -2);
  return bytes;
};

/** Without arrays that Node has not freed yet. */
const heldBy = (job: JobDetail): number => bytesOf(job) - (job.estimate?.memory?.parts['garbage'] ?? NaN);

const GB = 1e9;

it('holds the model in its own weights to export it, and a second time when it was merged', async () => {
  // 8.03 · 10⁹ parameters of 16 bits.
  const plain = 16.06 * GB;
  expect(heldBy(await exported('gguf-adapter')) / plain).toBeCloseTo(1, 1);
  expect(heldBy(await exported('merged')) / plain).toBeCloseTo(2, 1);
  // Read back as 32 bits.
  expect(heldBy(await exported('gguf-q8_0')) / plain).toBeCloseTo(3, 1);
});

it('combines and measures on the base as it is kept for training', async () => {
  expect(bytesOf(await evaluated())).toBeLessThan(8 * GB);
  expect(bytesOf(await combined())).toBeLessThan(12 * GB);
});

it('takes more for what is larger', async () => {
  expect(bytesOf(await combined({ method: 'svd', rank: 256 }))).toBeGreaterThan(
    bytesOf(await combined({ method: 'svd', rank: 8 })),
  );
  const limits = { maxRows: 200, maxTokens: 64, sequenceLength: 8192 };
  const measures = [{ metric: 'regex' as const, pattern: '^' }];
  expect(bytesOf(await evaluated({ measures, limits: { ...limits, maxTokens: 4096 } }))).toBeGreaterThan(
    bytesOf(await evaluated({ measures, limits })),
  );
});

it('is what the dispatcher places it by, and refuses it where no worker has it', async () => {
  world.addWorker({ memoryBytes: 24 * GB });
  const { id } = await exported('gguf-adapter');
  expect(world.job(id).estimatedBytes).toBeGreaterThan(16 * GB);
  await expect(exported('merged')).rejects.toMatchObject({
    code: 'no_worker_fits',
    message: expect.stringMatching(/^The job takes 3\d\.\d+ GB at its peak by prediction, and no worker/),
  });
  const later = { notBefore: '2026-02-01T00:00:00.000Z' };
  expect((await exported('merged', later)).state).toBe('queued');
  const placement = { memoryBytes: 20 * GB };
  const { estimate } = await exported('merged', { placement });
  expect(estimate?.warnings.join()).toMatch(/placement.memoryBytes is 20.00 GB; the job takes 3/);
});

it('is not known while the rows are not counted', async () => {
  world.plannedLengths = null;
  world.addWorker({ memoryBytes: GB });
  const { estimate } = await exported('merged');
  expect(estimate?.memory).toBeNull();
  expect(estimate?.warnings[0]).toMatch(/^The tokens are not counted: the store is away\./);
});
