import {
  combinationParity,
  createCombinationSchema,
  type CreateCombinationInput,
  type LowrankError,
  type Role,
} from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { team, World } from '../test/world';
import { submitCombination } from './submit-combination';

describe('submitCombination', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.publish();
    await world.publish();
  });

  const versions = [{ adapter: 'captain', version: 'v1', weight: 0.75 }, { adapter: 'captain' }];
  const submit = (request: Partial<CreateCombinationInput> = {}, role: Role = 'member') =>
    submitCombination(
      world,
      { teamId: team, role },
      createCombinationSchema.parse({ adapter: 'both', versions, ...request }),
    );
  const errorOf = async (work: Promise<unknown>): Promise<LowrankError> => {
    try {
      await work;
    } catch (error) {
      return error as LowrankError;
    }
    throw new Error('it was accepted');
  };

  it('makes a job of the versions as they are now, and the adapter that it is for', async () => {
    const job = await submit({ method: 'ties' });
    const [first, second] = world.tables.versions;
    expect(job).toMatchObject({
      ...{ state: 'queued', adapter: 'both', recipe: first?.recipe, dataset: { id: world.datasetId } },
      work: {
        kind: 'combine',
        parents: [
          { id: first?.id, number: 1, files: first?.files },
          { id: second?.id, number: 2 },
        ],
        settings: { method: 'ties', weights: [0.75, 0.5], density: 0.5, rank: null },
        thresholds: combinationParity.ties.thresholds,
      },
    });
    expect(world.tables.adapters.map(({ name }) => name)).toContain('both');
    expect(world.history(job.id)).toEqual(['state queued 1']);
    expect((await claimAttempt(world, { jobId: job.id, epoch: 1 }, 'wrk_1'))?.job.work.kind).toBe('combine');
  });

  it('takes what it has to reach, and what it is compared on, from the request', async () => {
    const validationDataset = world.addDataset();
    const loose = { method: 'svd', parity: { klMean: 1 }, validationDataset } as const;
    const job = await submit(loose, 'admin');
    expect((await errorOf(submit(loose))).code).toBe('forbidden');
    const { agreement } = combinationParity.svd.thresholds;
    expect(job).toMatchObject({
      validationDataset: { id: validationDataset },
      dataset: { id: world.datasetId },
    });
    expect(job.work).toMatchObject({ thresholds: { klMean: 1, agreement } });
    // Of imported versions no dataset is known: the one to compare on is enough.
    for (const version of world.tables.versions) Object.assign(version, { dataset: null });
    expect((await submit({ validationDataset })).dataset.id).toBe(validationDataset);
    const pairs = world.addDataset({ format: 'preference' });
    expect((await errorOf(submit({ validationDataset: pairs }))).details?.[0]?.path).toBe(
      'validationDataset',
    );
    expect((await errorOf(submit({ dataset: pairs }))).details?.[0]?.path).toBe('dataset');
  });

  it('refuses what does not go together, naming the version', async () => {
    for (const version of world.tables.versions.filter(({ number }) => number === 2))
      Object.assign(version.baseModel, { revision: 'b'.repeat(40) });
    const error = await errorOf(submit());
    expect([error.code, error.details?.[0]?.path]).toEqual(['validation_failed', 'versions.1']);
  });

  it('refuses DoRA, and a rank that no version can have', async () => {
    const lora = (changes: object) => {
      for (const { recipe } of world.tables.versions) Object.assign(recipe.lora, changes);
    };
    lora({ dora: true });
    expect((await errorOf(submit())).details).toHaveLength(2);
    lora({ dora: false, rank: 300 });
    expect((await errorOf(submit())).details?.[0]?.path).toBe('method');
    expect((await submit({ method: 'svd' })).state).toBe('queued');
  });

  it('refuses versions that are not there', async () => {
    expect((await errorOf(submit({ versions: [{ adapter: 'captain' }, { adapter: 'none' }] }))).code).toBe(
      'not_found',
    );
    expect(world.tables.adapters.map(({ name }) => name)).not.toContain('both');
  });
});
