import { type Estimate, type JobState } from '@lowrank/contracts';
import { randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import {
  makeBaseModel,
  makeDataEstimate,
  makeDataset,
  makeEstimate,
  makeJob,
  makeManifest,
  makeVersionMetrics,
  putInState,
} from './factories';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on estimates, and on the finished jobs that times of later ones rest on. */
export function estimateConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  it('jobs have an estimate that only those see who ask for it', async () => {
    const estimate = makeEstimate();
    const { id } = await crew.addJob({ estimate });
    const { id: other } = await crew.addJob();
    const [job, plain] = await run(({ jobs }) =>
      Promise.all([jobs.detail(crew.id, id), jobs.detail(crew.id, other)]),
    );
    expect(job).toEqual({ ...(await crew.job(id)), estimate });
    expect(plain).toEqual({ ...(await crew.job(other)), estimate: null });
    expect(await crew.job(id)).not.toHaveProperty('estimate');
    expect(await run(({ jobs }) => jobs.detail('team_x', id))).toBeNull();
    expect(await run(({ jobs }) => jobs.lock(id))).toMatchObject({
      estimatedBytes: estimate.memory?.bytes,
      sharedBytes: estimate.memory?.sharedBytes,
    });
  });

  it('estimates of jobs whose tokens were not counted are found by the dataset, and replaced', async () => {
    const [first, other] = [makeEstimate(), makeEstimate({ data: makeDataEstimate(), memory: null })];
    const uncounted = await crew.addJob({ estimate: first });
    const held = makeDataset({ sha256: 'b'.repeat(64) });
    await run(({ datasets }) => datasets.insert(crew.id, held));
    const { id, filename, sha256 } = held;
    const evaluated = await crew.addJob({ estimate: first, validationDataset: { id, filename, sha256 } });
    await crew.addJob({ estimate: other });
    await crew.addJob();
    const ended = await crew.addJob({ estimate: first });
    await run(({ jobs }) => putInState(jobs, ended.id, 'failed'));
    const find = (datasetSha256: string, baseModelRevision = crew.baseModel.revision, limit = 9) =>
      run(({ estimates }) => estimates.uncounted({ datasetSha256, baseModelRevision, limit }));
    const both = [uncounted.id, evaluated.id].sort();
    expect((await find(crew.dataset.sha256)).map((job) => job.id)).toEqual(both);
    expect((await find(crew.dataset.sha256, undefined, 1)).map((job) => job.id)).toEqual(both.slice(0, 1));
    expect(await find(sha256)).toEqual([await run(({ jobs }) => jobs.lock(evaluated.id))]);
    expect(await find(sha256, 'c'.repeat(40))).toEqual([]);

    await run(({ estimates }) => estimates.replace(uncounted.id, other));
    expect(await run(({ jobs }) => jobs.detail(crew.id, uncounted.id))).toMatchObject({ estimate: other });
    const none = { estimatedBytes: null, sharedBytes: null };
    expect(await run(({ jobs }) => jobs.lock(uncounted.id))).toMatchObject(none);
    expect((await find(crew.dataset.sha256)).map((job) => job.id)).toEqual([evaluated.id]);
  });

  it('statistics know the newest finished jobs of each device class, and those on a base model', async () => {
    const { baseModel } = crew;
    const other = makeBaseModel({ name: 'other' });
    await run(({ baseModels }) => baseModels.insert(crew.id, other));
    const finish = async (
      {
        state = 'succeeded' as JobState,
        deviceClass = 'cpu',
        at = 1,
        estimate = makeEstimate() as Estimate | null,
      },
      seconds: number,
      base = baseModel,
    ) => {
      const job = makeJob(base, crew.dataset, { adapter: base.name, estimate });
      await run(async ({ adapters, jobs }) => {
        const adapter = { id: randomIds.make('adapter'), name: base.name, baseModelName: base.name };
        await adapters.ensure(crew.id, { ...adapter, at: day(1) });
        await jobs.insert(crew.id, job);
        await putInState(jobs, job.id, state, { deviceClass, finishedAt: day(at) });
        const metrics = makeVersionMetrics({ seconds, trainedTokens: 1000 });
        const manifest = makeManifest(job, { metrics });
        await adapters.publish(crew.id, { id: randomIds.make('version'), manifest, at: day(at) });
      });
    };
    await finish({ at: 1 }, 1);
    await finish({ at: 2 }, 2);
    await finish({ at: 3 }, 3, other);
    await finish({ at: 4 }, 4, other);
    await finish({ deviceClass: 'h100' }, 5);
    await finish({ deviceClass: 'tpu' }, 6);
    await finish({ state: 'running' }, 7);
    await finish({ estimate: null }, 8);
    await finish({ estimate: makeEstimate({ operations: null }), at: 0 }, 9);
    const runs = (limit: number, baseModelId = baseModel.id) =>
      unitOfWork.read(({ statistics }) =>
        statistics.finishedRuns({ deviceClasses: ['cpu', 'h100'], baseModelId, limit }),
      );
    const seconds = async (limit: number, base?: string) =>
      (await runs(limit, base)).map((one) => one.seconds).sort();
    expect(await seconds(9)).toEqual([1, 2, 3, 4, 5]);
    // The newest of the class, and the newest on the base model.
    expect(await seconds(1)).toEqual([2, 4, 5]);
    expect(await seconds(1, other.id)).toEqual([4, 5]);
    expect((await runs(9)).find((one) => one.seconds === 5)).toEqual({
      deviceClass: 'h100',
      baseModelId: baseModel.id,
      operations: 1.5e15,
      tokens: 1000,
      seconds: 5,
    });
    expect(
      await unitOfWork.read(({ statistics }) =>
        statistics.finishedRuns({ deviceClasses: [], baseModelId: baseModel.id, limit: 9 }),
      ),
    ).toEqual([]);
  });
}
