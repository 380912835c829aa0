import { type AdapterVersion, cloneJobSchema } from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { publishVersion } from '../attempts/publish-version';
import { reportPhase, reportPlan } from '../attempts/report-progress';
import { moveAlias } from '../catalog/aliases';
import { cloneJob } from '../jobs/clone-job';
import { estimateJob } from '../preflight/estimate-job';
import { team, World } from '../test/world';
import { publishedLora } from './continued';

let world: World;
beforeEach(() => (world = new World()));

const lora = { rank: 8, alpha: 12, targets: ['q_proj', 'v_proj'], dropout: 0.1, rsLora: true };
const first = (recipe: object = { lora }): Promise<AdapterVersion> => world.publish({ recipe });
const next = (changes: object = {}) =>
  world.submit({ dataset: world.datasetId, initFrom: 'captain@v1', ...changes });

it('takes the LoRA of the version, and everything else from the request', async () => {
  const version = await first();
  const job = await next({ recipe: { training: { steps: 5 } } });
  expect(job.recipe.lora).toEqual(version.recipe.lora);
  expect(job.recipe.training).toMatchObject({ steps: 5, sequenceLength: 512 });
  expect(job.initFrom).toEqual({ versionId: version.id, adapter: 'captain', number: 1 });
});

it('takes what the request repeats, in whatever order, and another dropout', async () => {
  await first();
  const asked = { rank: 8, targets: ['v_proj', 'q_proj'], dropout: 0.3 };
  expect((await next({ recipe: { lora: asked } })).recipe.lora).toMatchObject({ rank: 8, dropout: 0.3 });
});

it('names every field that contradicts the version, defaults that were asked for included', async () => {
  await first();
  const asked = { rank: 16, alpha: 13, targets: 'all-linear', dora: true, bias: 'none', init: 'pissa' };
  await expect(next({ recipe: { lora: { ...asked, dora: false } } })).rejects.toMatchObject({
    code: 'recipe_invalid',
    details: [
      { path: 'recipe.lora.rank', message: 'is 16, and captain@v1 has 8; leave it out' },
      { path: 'recipe.lora.alpha' },
      { path: 'recipe.lora.targets' },
      { path: 'recipe.lora.init' },
    ],
  });
  expect(world.tables.jobs).toHaveLength(1);
});

it('is for the base model of the version only', async () => {
  await first();
  Object.assign(world.tables.baseModels[0] as object, { revision: 'b'.repeat(40) });
  await expect(next()).rejects.toMatchObject({ code: 'recipe_invalid', details: [{ path: 'initFrom' }] });
});

it('takes the version that an alias stands on at that time', async () => {
  await first();
  await world.publish();
  await moveAlias(world, team, { adapter: 'captain', alias: 'prod', actor: 'key_1' }, { version: 'v1' });
  expect((await next({ initFrom: 'captain@prod' })).initFrom).toMatchObject({ number: 1 });
  expect((await next({ initFrom: 'captain' })).initFrom).toMatchObject({ number: 2 });
  await expect(next({ initFrom: 'captain@v9' })).rejects.toMatchObject({ code: 'not_found' });
});

it('trains PiSSA on as what it was published as: plain LoRA of twice the rank and the same scale', async () => {
  const { recipe } = await first({ lora: { rank: 4, init: 'pissa', rankPattern: { q_proj: 2 } } });
  expect(publishedLora(recipe)).toMatchObject({
    ...{ rank: 8, alpha: 16, init: 'default', rankPattern: { q_proj: 4 } },
  });
  expect((await next()).recipe.lora).toMatchObject({ rank: 8, init: 'default' });
  const rooted = { ...recipe, lora: { ...recipe.lora, rsLora: true } };
  expect(publishedLora(rooted).alpha / Math.sqrt(8)).toBeCloseTo(recipe.lora.alpha / Math.sqrt(4), 12);
});

it('is estimated with the LoRA of the version', async () => {
  await first({ lora: { rank: 8, targets: ['q_proj'] } });
  world.plannedLengths = Array.from({ length: 40 }, () => 20);
  const bytes = async (request: Record<string, unknown>) => {
    return (await estimateJob(world, team, world.request(request))).memory?.bytes;
  };
  expect(await bytes({ initFrom: 'captain@v1' })).toBe(
    await bytes({ recipe: { lora: { rank: 8, targets: ['q_proj'] } } }),
  );
  expect(await bytes({ initFrom: 'captain@v1' })).not.toBe(await bytes({}));
});

it('is cloned from the same version, or without one', async () => {
  await first();
  const { id, initFrom, recipe } = await next();
  const clone = (changes: object) => cloneJob(world, team, id, cloneJobSchema.parse(changes));
  expect(await clone({})).toMatchObject({ initFrom, recipe });
  expect(await clone({ initFrom: null, recipe: { lora: { rank: 2 } } })).toMatchObject({
    initFrom: null,
    recipe: { lora: { rank: 2 } },
  });
  await expect(clone({ recipe: { lora: { rank: 2 } } })).rejects.toMatchObject({ code: 'recipe_invalid' });
});

it('is cloned from another version, whose layers it has then', async () => {
  const version = await first();
  const other = await world.submit({ recipe: { lora: { rank: 2, dropout: 0.1 } } });
  const changes = cloneJobSchema.parse({ initFrom: 'captain@v1' });
  expect((await cloneJob(world, team, other.id, changes)).recipe.lora).toEqual({
    ...version.recipe.lora,
    dropout: 0.1,
  });
});

it('gives the trainer the version, and makes it a parent of what is published', async () => {
  const version = await first();
  const { id: jobId, epoch } = await next();
  const attempt = { jobId, epoch };
  expect(await claimAttempt(world, attempt, 'wrk_1')).toMatchObject({ initFrom: version });
  await reportPhase(world, attempt, 'running');
  await reportPlan(world, attempt, { totalSteps: 12, resumedFromStep: 0 });
  await reportPhase(world, attempt, 'publishing');
  const manifest = world.manifest(jobId);
  await expect(publishVersion(world, attempt, { ...manifest, parents: [] })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('versions that it is made from'),
  });
  await publishVersion(world, attempt, manifest);
  expect(world.tables.versions.at(-1)?.parents).toEqual([
    { versionId: version.id, adapter: 'captain', number: 1, kind: 'continued' },
  ]);
});

it('fails when the version is gone before it starts', async () => {
  await first();
  const { id: jobId, epoch } = await next();
  world.tables.versions.length = 0;
  expect(await claimAttempt(world, { jobId, epoch }, 'wrk_1')).toBeNull();
  expect(world.job(jobId)).toMatchObject({
    state: 'failed',
    error: { code: 'not_found', message: 'Version captain@v1 of the job is gone.' },
  });
});
