import { World } from '../test/world';

let world: World;
beforeEach(() => (world = new World()));

it('estimates every trial, and plans data once that all have in common', async () => {
  world.plannedLengths = Array.from({ length: 40 }, (_, i) => 20 + i);
  const plan = jest.spyOn(world.planner, 'plan');
  const sweep = await world.submitSweep();
  const [two, four, eight] = [1, 2, 3].map(
    (trial) => world.job(sweep.trials[trial - 1]?.jobId ?? '').estimatedBytes ?? 0,
  );
  expect([two, four, eight]).toEqual([two, four, eight].toSorted((a = 0, b = 0) => a - b));
  expect(two).toBeGreaterThan(0);
  expect(eight).toBeGreaterThan(two ?? 0);
  expect(plan).toHaveBeenCalledTimes(1);
  // Ranks 2 and 4 fit, 8 does not.
  world.addWorker({ memoryBytes: (eight ?? 0) - 1 });
  await expect(world.submitSweep()).rejects.toMatchObject({
    code: 'no_worker_fits',
    message: expect.stringMatching(/^Trial 3: The job takes/),
  });
  expect(world.tables.sweeps).toHaveLength(1);
});

it('starts every trial from a version, whose shape it has', async () => {
  await world.publish({ recipe: { lora: { rank: 4, alpha: 9 } } });
  const initFrom = 'captain@v1';
  const space = { 'optimizer.learningRate': { values: [1e-4, 1e-3] } };
  const sweep = await world.submitSweep({ initFrom, space, adapter: 'next' });
  for (const { jobId } of sweep.trials)
    expect(world.job(jobId)).toMatchObject({
      initFrom: { adapter: 'captain', number: 1 },
      recipe: { lora: { rank: 4, alpha: 9 } },
    });
  await expect(world.submitSweep({ initFrom })).rejects.toMatchObject({
    code: 'recipe_invalid',
    message: expect.stringMatching(/trial 1 \(lora.rank=2\): is 2, and captain@v1 has 4; leave it out/),
  });
  const dropout = { 'lora.dropout': { values: [0, 0.1] } };
  expect((await world.submitSweep({ initFrom, space: dropout })).trialCount).toBe(2);
  await expect(world.submitSweep({ initFrom: 'captain@v9', space })).rejects.toMatchObject({
    code: 'not_found',
  });
});

it('compares trials on a validation dataset, whatever their recipes hold out', async () => {
  const validationDataset = world.addDataset();
  const recipe = { evaluation: { fraction: 0 } };
  const sweep = await world.submitSweep({ validationDataset, recipe });
  const named = { id: validationDataset, filename: 'held.jsonl' };
  expect(sweep.validationDataset).toMatchObject(named);
  for (const { jobId } of sweep.trials) expect(world.job(jobId).validationDataset).toMatchObject(named);
  await expect(world.submitSweep({ recipe })).rejects.toMatchObject({ code: 'recipe_invalid' });
  const pairs = world.addDataset({ format: 'preference' });
  await expect(world.submitSweep({ validationDataset: pairs })).rejects.toMatchObject({
    code: 'recipe_invalid',
    message: expect.stringMatching(/validationDataset/),
  });
});
