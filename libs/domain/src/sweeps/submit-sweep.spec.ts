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
