import { type LowrankError } from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { reportHeartbeat } from '../attempts/report-progress';
import { team, World } from '../test/world';
import { cancelJob } from './cancel-job';

let world: World;
beforeEach(() => (world = new World()));

describe('submitJob', () => {
  it('writes job, event, adapter and outbox row', async () => {
    const job = await world.submit();
    expect(job).toMatchObject({
      state: 'queued',
      epoch: 1,
      adapter: 'captain',
      baseModel: { name: 'tiny' },
      recipe: { lora: { rank: 16, alpha: 32 } },
    });
    expect(world.tables.outbox).toMatchObject([
      { id: '1', wakeUp: { jobId: job.id, epoch: 1, workerId: null } },
    ]);
    expect(world.tables.adapters).toMatchObject([
      { name: 'captain', baseModel: 'tiny', latestVersion: null },
    ]);
    expect(world.history(job.id)).toEqual(['state queued 1']);
  });

  it('takes a base model by its id too, and an adapter that exists', async () => {
    await world.submit({ baseModel: world.baseModelId });
    await world.submit();
    expect(world.tables.adapters).toHaveLength(1);
  });

  it.each([
    ['an unknown base model', { baseModel: 'none' }, 'not_found', 'baseModel'],
    ['an unknown dataset', { dataset: `data_${'z'.repeat(24)}` }, 'not_found', 'dataset'],
    [
      'more tokens than the base model can see',
      { recipe: { training: { sequenceLength: 4096 } } },
      'recipe_invalid',
      'recipe.training.sequenceLength',
    ],
    [
      'a target that is no linear layer',
      { recipe: { lora: { targets: ['q_proj', 'embed_tokens'] } } },
      'recipe_invalid',
      'recipe.lora.targets.1',
    ],
  ])('refuses %s and writes nothing', async (_title, overrides, code, path) => {
    await expect(world.submit(overrides)).rejects.toMatchObject({ code, details: [{ path }] });
    expect(world.tables.jobs).toEqual([]);
    expect(world.tables.outbox).toEqual([]);
    expect(world.tables.adapters).toEqual([]);
  });

  it('accepts full names of linear layers', async () => {
    await world.submit({ recipe: { lora: { targets: ['model.layers.0.self_attn.q_proj', 'down_proj'] } } });
    expect(world.tables.jobs).toHaveLength(1);
  });

  it.each([
    [{ rows: 0 }, {}, 'dataset_empty'],
    [{ lossTokens: 0 }, {}, 'dataset_empty'],
    [{ rows: 1 }, {}, 'recipe_invalid'],
    [{ rows: 1 }, { recipe: { evaluation: { fraction: 0 } } }, null],
  ])('of a dataset with %j and %j: %s', async (dataset, overrides, code) => {
    Object.assign(world.tables.datasets[0] as object, dataset);
    const submitted = await world.submit(overrides).catch((error: LowrankError) => error.code);
    if (code === null) expect(submitted).toMatchObject({ state: 'queued' });
    else expect(submitted).toBe(code);
  });

  it('waits for the base model', async () => {
    Object.assign(world.tables.baseModels[0] as object, { status: 'importing' });
    await expect(world.submit()).rejects.toMatchObject({ code: 'base_model_not_ready' });
  });

  it('keeps an adapter to one base model', async () => {
    await world.submit();
    const other = { ...world.tables.baseModels[0], id: world.ids.make('baseModel'), name: 'other' };
    world.tables.baseModels.push(other as never);
    await expect(world.submit({ baseModel: 'other' })).rejects.toMatchObject({ code: 'conflict' });
    expect(world.tables.jobs).toHaveLength(1);
  });
});

describe('cancelJob', () => {
  it('cancels a waiting job at once', async () => {
    const { id } = await world.submit();
    expect(await cancelJob(world, team, id)).toMatchObject({
      state: 'cancelled',
      finishedAt: world.clock.now(),
    });
    expect(await claimAttempt(world, { jobId: id, epoch: 1 }, 'wrk_1')).toBeNull();
  });

  it('marks a held one, once, and its worker hears of it', async () => {
    const attempt = await world.claimed();
    expect(await cancelJob(world, team, attempt.jobId)).toMatchObject({
      state: 'preparing',
      cancelRequested: true,
    });
    await cancelJob(world, team, attempt.jobId);
    expect(world.history(attempt.jobId).filter((event) => event.startsWith('message'))).toHaveLength(1);
    expect(await reportHeartbeat(world, attempt)).toBe('cancel');
  });

  it('refuses a final one', async () => {
    const { id } = await world.submit();
    await cancelJob(world, team, id);
    await expect(cancelJob(world, team, id)).rejects.toMatchObject({ code: 'illegal_transition' });
  });

  it("does not see another team's", async () => {
    const { id } = await world.submit();
    await expect(cancelJob(world, 'team_b', id)).rejects.toMatchObject({ code: 'not_found' });
    expect(world.job(id).state).toBe('queued');
  });
});
