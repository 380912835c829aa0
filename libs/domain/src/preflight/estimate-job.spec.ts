import { type Estimate, estimateSchema, type LowrankError } from '@lowrank/contracts';
import { claimAttempt } from '../attempts/claim-attempt';
import { publishVersion } from '../attempts/publish-version';
import { reportPhase } from '../attempts/report-progress';
import { cloneJob } from '../jobs/clone-job';
import { retryJob } from '../jobs/retry-job';
import { team, World } from '../test/world';
import { estimateJob } from './estimate-job';

let world: World;
beforeEach(() => {
  world = new World();
  world.plannedLengths = Array.from({ length: 40 }, (_, i) => 20 + 8 * (i % 10));
});
const estimate = (overrides: Record<string, unknown> = {}): Promise<Estimate> =>
  estimateJob(world, team, world.request(overrides));
const bytesOf = ({ memory }: Estimate): number => memory?.bytes ?? 0;
const refusal = (overrides: Record<string, unknown> = {}): Promise<LowrankError> =>
  world.submit(overrides).then(
    () => {
      throw new Error('was not refused');
    },
    (error: LowrankError) => error,
  );

describe('an estimate', () => {
  it('says everything that is known, and submits nothing', async () => {
    world.addWorker({ memoryBytes: 2 ** 34, threads: 4, slots: 2 });
    const known = await estimate();
    expect(estimateSchema.parse(known)).toEqual(known);
    expect(known).toMatchObject({
      data: { rows: 38, heldOutRows: 2, steps: expect.any(Number) },
      devices: [
        { deviceClass: 'cpu', workers: 1, memoryBytes: 2 ** 34, fits: true, reason: null, seconds: null },
      ],
      servability: { vllm: { servable: true } },
      proposals: [],
      warnings: [],
    });
    const { bytes, sharedBytes, parts } = known.memory ?? { bytes: 0, sharedBytes: 0, parts: {} };
    const sum = Object.values(parts).reduce((total, part) => total + part, 0);
    expect(Math.abs(sum - bytes)).toBeLessThan(Object.keys(parts).length);
    expect(sharedBytes).toBeGreaterThan(parts['base'] as number);
    expect(sharedBytes).toBeLessThan(bytes);
    expect(known.operations).toBeGreaterThan(0);
    expect(world.tables.jobs).toEqual([]);
    expect(world.tables.adapters).toEqual([]);
  });

  it('counts the threads of the worker that has most', async () => {
    world.addWorker({ threads: 2 });
    const few = bytesOf(await estimate());
    world.addWorker({ threads: 64, slots: 2 });
    expect(bytesOf(await estimate())).toBeGreaterThan(few + 2 ** 24);
    // It may not run there.
    const onCpu = { placement: { deviceClasses: ['cpu'] } };
    const most = bytesOf(await estimate(onCpu));
    world.addWorker({ threads: 512, deviceClass: 'big' });
    expect(bytesOf(await estimate(onCpu))).toBe(most);
    expect(bytesOf(await estimate())).toBeGreaterThan(most);
  });

  it.each([
    [
      'tokens that cannot be counted',
      () => (world.plannedLengths = null),
      {},
      /not counted: the store is away\. Steps and time are not known, and the memory is that of full rows\./,
    ],
    [
      'a base of an old release',
      () => Object.assign(world.tables.baseModels[0] as object, { decoder: null }),
      {},
      /did not keep its sizes: memory and time/,
    ],
    ['no worker', () => undefined, {}, /^No worker is there now/],
    [
      'no worker of a class',
      () => world.addWorker(),
      { placement: { deviceClasses: ['h100', 'h200'] } },
      /^No worker of class h100 or h200 is there now/,
    ],
    [
      'rows that are cut',
      () => (world.plannedLengths = [40, 20, 100, 40]),
      { recipe: { training: { sequenceLength: 64 }, evaluation: { fraction: 0 } } },
      /^1 of 4 rows of the dataset are cut to 64 tokens/,
    ],
    [
      'rows that are left out',
      () => (world.plannedLengths = [40, 20, 100, 40]),
      { recipe: { training: { sequenceLength: 64, tooLong: 'drop' }, evaluation: { fraction: 0 } } },
      /^1 of 4 rows of the dataset are left out/,
    ],
    [
      'less memory than it takes',
      () => undefined,
      { placement: { memoryBytes: 1000 } },
      /placement\.memoryBytes is 0\.00 GB; the job takes/,
    ],
  ])('warns of %s', async (_title, change, request, message) => {
    change();
    expect((await estimate(request)).warnings).toContainEqual(expect.stringMatching(message));
  });

  describe('of tokens that are not counted', () => {
    const recipe = { training: { sequenceLength: 256, rows: 2 } };
    const large = () => Object.assign(world.tables.datasets[0] as object, { rows: 3000, bytes: 3_000_000 });

    it('takes the memory of full rows, knows neither steps nor time, and the job is accepted', async () => {
      large();
      world.addWorker({ memoryBytes: 2 ** 34 });
      // Conversations of 256 tokens fill any row; together they have the tokens that so much text is taken for.
      world.plannedLengths = Array.from({ length: 3000 }, (_, i) => (i < 2812 ? 256 : 1480));
      const counted = await estimate({ recipe });
      world.plannedLengths = null;
      const job = await world.submit({ recipe });
      expect(job.estimate).toMatchObject({ data: null, operations: null });
      expect(job.estimate?.devices).toMatchObject([{ fits: true, seconds: null }]);
      expect(world.job(job.id).estimatedBytes).toBe(job.estimate?.memory?.bytes);
      expect(Math.abs(bytesOf(job.estimate as Estimate) / bytesOf(counted) - 1)).toBeLessThan(0.01);
    });

    it('is refused where full rows fit no worker, with what would help', async () => {
      large();
      world.plannedLengths = null;
      const heavyRows = { training: { ...recipe.training, rows: 64, checkpointActivations: false } };
      const needed = bytesOf(await estimate({ recipe: heavyRows }));
      world.addWorker({ memoryBytes: needed - 1, threads: 8 });
      const error = await refusal({ recipe: heavyRows });
      expect(error).toMatchObject({ code: 'no_worker_fits', status: 422 });
      expect(error.details).toContainEqual({
        path: 'recipe.training.checkpointActivations',
        message: expect.stringMatching(/true it takes/),
      });
      expect(await world.submit({ recipe })).toMatchObject({ state: 'queued' });
    });

    it('takes no fuller rows than its text can fill', async () => {
      const few = bytesOf(await estimate({ recipe: { training: { sequenceLength: 256, rows: 64 } } }));
      world.plannedLengths = null;
      Object.assign(world.tables.datasets[0] as object, { bytes: 256 });
      const one = bytesOf(await estimate({ recipe: { training: { sequenceLength: 256, rows: 64 } } }));
      expect(one).toBeLessThan(few);
    });
  });

  it.each([
    ['sequence_too_long', { recipe: { training: { sequenceLength: 16, tooLong: 'fail' } } }],
    ['dataset_empty', { recipe: { training: { sequenceLength: 16, tooLong: 'drop' } } }],
    ['not_found', { baseModel: 'none' }],
    ['recipe_invalid', { recipe: { lora: { targets: ['nose'] } } }],
  ])('refuses what is sure to fail: %s', async (code, request) => {
    await expect(estimate(request)).rejects.toMatchObject({ code });
    await expect(world.submit(request)).rejects.toMatchObject({ code });
    expect(world.tables.jobs).toEqual([]);
  });
});

describe('a submitted job', () => {
  it('keeps its estimate', async () => {
    world.addWorker();
    const job = await world.submit();
    expect(job.estimate).toEqual(await estimate());
    expect(world.job(job.id)).toMatchObject({
      estimatedBytes: job.estimate?.memory?.bytes,
      sharedBytes: job.estimate?.memory?.sharedBytes,
    });
  });

  it('is estimated anew when it is cloned', async () => {
    const job = await world.submit();
    const clone = await cloneJob(world, team, job.id, { recipe: { training: { epochs: 6 } } });
    expect(clone.estimate?.data?.steps).toBe(2 * (job.estimate?.data?.steps ?? 0));
  });
});

describe('a job that fits no worker', () => {
  const heavy = { recipe: { training: { checkpointActivations: false, rows: 64 } } };

  it('is refused with every class and with what would help', async () => {
    const needed = bytesOf(await estimate(heavy));
    const small = needed - 500_000;
    world.addWorker({ memoryBytes: small, threads: 8 });
    world.addWorker({ memoryBytes: 1000, deviceClass: 'tiny', threads: 8 });
    const error = await refusal(heavy);
    expect(error).toMatchObject({ code: 'no_worker_fits', status: 422 });
    expect(error.message).toMatch(
      /^The job takes 0\.\d\d GB at its peak by prediction.*cpu 0\.\d\d GB, tiny 0\.00 GB\.$/,
    );
    expect(error.details).toContainEqual({
      message: expect.stringMatching(/^tiny: it takes .* the largest of these/),
    });
    const help = error.details?.filter(({ path }) => path !== undefined) ?? [];
    expect(help).toContainEqual({
      path: 'recipe.training.checkpointActivations',
      message: expect.stringMatching(
        /^with recipe\.training\.checkpointActivations true it takes 0\.\d\d GB$/,
      ),
    });
    expect(world.tables.jobs).toEqual([]);
    // The same as an estimate, which says so without refusing.
    const { devices, proposals, warnings } = await estimate(heavy);
    expect(devices.map(({ fits }) => fits)).toEqual([false, false]);
    expect(warnings).toContainEqual(expect.stringMatching(/^None of the workers/));
    expect(proposals.length).toBe(help.length);
    for (const { bytes } of proposals) expect(bytes).toBeLessThanOrEqual(small);
    // What is proposed is accepted.
    const { changes } = proposals[0] ?? { changes: {} };
    expect(changes).toEqual({ 'recipe.training.checkpointActivations': true });
    const accepted = { recipe: { training: { checkpointActivations: true, rows: 64 } } };
    expect(await world.submit(accepted)).toMatchObject({ state: 'queued' });
  });

  it('is accepted where one has the memory, or does not say how much it has', async () => {
    const needed = bytesOf(await estimate(heavy));
    world.addWorker({ memoryBytes: 1000 });
    const large = world.addWorker({ memoryBytes: needed, threads: 8, deviceClass: 'large' });
    expect(await world.submit(heavy)).toMatchObject({ state: 'queued' });
    Object.assign(world.tables.workers.find(({ id }) => id === large.id) as object, { memoryBytes: 1000 });
    await expect(world.submit(heavy)).rejects.toMatchObject({ code: 'no_worker_fits' });
    world.addWorker({ memoryBytes: 0 });
    expect(await world.submit(heavy)).toMatchObject({ state: 'queued' });
  });

  it('is judged by the workers that it may run on', async () => {
    world.addWorker({ memoryBytes: 2 ** 40 });
    world.addWorker({ memoryBytes: 1000, deviceClass: 'tiny' });
    await expect(world.submit({ placement: { deviceClasses: ['tiny'] } })).rejects.toMatchObject({
      code: 'no_worker_fits',
      details: expect.arrayContaining([{ message: 'cpu: the job asks for other device classes' }]),
    });
  });

  it('is judged by the memory that it asks for', async () => {
    const worker = world.addWorker({ memoryBytes: 1000 });
    await expect(world.submit()).rejects.toMatchObject({ code: 'no_worker_fits' });
    expect(await world.submit({ placement: { memoryBytes: 1000 } })).toMatchObject({ state: 'queued' });
    Object.assign(world.tables.workers.find(({ id }) => id === worker.id) as object, {
      memoryBytes: 2 ** 33,
    });
    await expect(world.submit({ placement: { memoryBytes: 2 ** 33 + 1 } })).rejects.toMatchObject({
      code: 'no_worker_fits',
      message: expect.stringMatching(/by its placement/),
      details: expect.arrayContaining([
        {
          path: 'placement.memoryBytes',
          message: expect.stringMatching(/^with placement\.memoryBytes \d+ it/),
        },
      ]),
    });
  });

  it.each([
    ['its workers are away', () => world.pass(60_001), {}],
    ['it may only start later', () => undefined, { notBefore: '2026-06-01T00:00:00Z' }],
  ])('waits when %s', async (_title, change, request) => {
    world.addWorker({ memoryBytes: 1000 });
    change();
    expect(await world.submit(request)).toMatchObject({ state: 'queued' });
  });

  it('is refused at once when its time has come', async () => {
    world.addWorker({ memoryBytes: 1000 });
    const notBefore = world.clock.now();
    await expect(world.submit({ notBefore })).rejects.toMatchObject({ code: 'no_worker_fits' });
  });

  it('is not lost when it was accepted before: it is tried again', async () => {
    const { id } = await world.submit();
    Object.assign(world.job(id), { state: 'failed' });
    world.addWorker({ memoryBytes: 1000 });
    expect(await retryJob(world, team, id)).toMatchObject({ state: 'queued' });
  });
});

describe('a predicted time', () => {
  async function finish(seconds: number, overrides: Record<string, unknown> = {}): Promise<void> {
    const worker = world.tables.workers[0]?.id ?? '';
    const { id } = await world.submit(overrides);
    Object.assign(world.job(id), { assignedTo: worker, assignedAt: world.clock.now() });
    await claimAttempt(world, { jobId: id, epoch: 1, workerId: worker }, worker);
    for (const phase of ['running', 'publishing'] as const)
      await reportPhase(world, { jobId: id, epoch: 1 }, phase);
    const manifest = world.manifest(id);
    const metrics = { ...manifest.metrics, seconds };
    await publishVersion(world, { jobId: id, epoch: 1 }, { ...manifest, metrics });
  }

  it('rests on finished jobs of the class, and goes with the work', async () => {
    world.addWorker();
    world.addWorker({ deviceClass: 'h100' });
    await finish(50);
    const once = await estimate();
    expect(once.devices).toMatchObject([
      { deviceClass: 'cpu', seconds: expect.closeTo(50, 6), basis: 'base-model', measuredJobs: 1 },
      { deviceClass: 'h100', seconds: null, basis: null, measuredJobs: 0 },
    ]);
    await finish(100);
    expect((await estimate()).devices[0]).toMatchObject({ seconds: expect.closeTo(75, 6), measuredJobs: 2 });
    const twice = await estimate({ recipe: { training: { epochs: 6 } } });
    expect(twice.devices[0]?.seconds).toBeGreaterThan(140);
    expect(twice.devices[0]?.seconds).toBeLessThan(150.001);
  });
});
