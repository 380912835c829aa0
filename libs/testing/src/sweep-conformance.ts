import { type Sweep } from '@lowrank/contracts';
import { type NewSweep, randomIds } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeEvent, makeJob, makeManifest, makeMetric, makeVersionMetrics, putInState } from './factories';
import { seedTeam, type SeededTeam } from './seed';

const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString();

/** The part of unitOfWorkConformance on sweeps and their trials. */
export function sweepConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  const makeSweep = ({ baseModel, dataset }: SeededTeam, overrides: Partial<NewSweep> = {}): NewSweep => ({
    id: randomIds.make('sweep'),
    baseModel: { id: baseModel.id, name: baseModel.name, revision: baseModel.revision },
    dataset: { id: dataset.id, filename: dataset.filename, sha256: dataset.sha256 },
    validationDataset: null,
    adapter: 'captain',
    recipe: { training: { epochs: 1 } },
    space: {
      'optimizer.learningRate': { min: 1e-5, max: 1e-3, scale: 'log', integer: false },
      'lora.targets': { values: ['all-linear', ['q_proj']] },
    },
    method: { type: 'asha', trials: 8, seed: 1, reduction: 3, minimum: 0.1 },
    metric: 'loss',
    maxConcurrent: 4,
    createdAt: at(0),
    ...overrides,
  });

  /** A sweep of `trials` queued jobs. */
  const addSweep = async (trials = 2, overrides: Partial<NewSweep> = {}, team = crew) => {
    await team.addJob();
    const sweep = makeSweep(team, overrides);
    await run(({ sweeps }) => sweeps.insert(team.id, sweep));
    const rows = Array.from({ length: trials }, (_, i) => ({
      ...{ number: i + 1, jobId: randomIds.make('job') },
      parameters: { 'lora.targets': ['q_proj'] },
    }));
    await run(async ({ sweeps, jobs }) => {
      const trial = ({ number, jobId: id }: (typeof rows)[number]) =>
        makeJob(team.baseModel, team.dataset, { id, sweep: { id: sweep.id, trial: number } });
      await jobs.insert(team.id, ...rows.map(trial));
      await sweeps.addTrials(sweep.id, rows);
    });
    return { ...sweep, jobIds: rows.map(({ jobId }) => jobId) };
  };
  const fresh = { state: 'running', cancelRequested: false, promoted: null, finishedAt: null } as const;

  describe('sweeps', () => {
    it('come back as they were written, with their trials counted, and to their team only', async () => {
      const validationDataset = { ...crew.dataset, id: randomIds.make('dataset') };
      const { id, filename, sha256 } = validationDataset;
      const { jobIds, ...sweep } = await addSweep(2, { validationDataset: { id, filename, sha256 } });
      const other = await seedTeam(unitOfWork, 'other');
      const expected: Sweep = { ...sweep, ...fresh, trialCount: 2, finishedCount: 0 };
      expect(await run(({ sweeps }) => sweeps.find(crew.id, sweep.id))).toEqual(expected);
      expect(await run(({ sweeps }) => sweeps.lock(sweep.id))).toEqual({ ...expected, teamId: crew.id });
      expect(await run(({ sweeps }) => sweeps.find(other.id, sweep.id))).toBeNull();
      expect(await run(({ sweeps }) => sweeps.lock('swp_none'))).toBeNull();

      await run(({ jobs }) => putInState(jobs, jobIds[0] ?? '', 'failed'));
      await run(({ jobs }) => putInState(jobs, jobIds[1] ?? '', 'paused'));
      expect(await run(({ sweeps }) => sweeps.find(crew.id, sweep.id))).toMatchObject({ finishedCount: 1 });
      const patch = {
        state: 'succeeded',
        cancelRequested: true,
        promoted: { trial: 2, version: 7 },
        finishedAt: at(9),
      } as const;
      await run(({ sweeps }) => sweeps.update(sweep.id, patch));
      expect(await run(({ sweeps }) => sweeps.find(crew.id, sweep.id))).toMatchObject(patch);
    });

    it('are unsettled when they are running with all trials over, or being cancelled', async () => {
      const [over, cancelled, running] = [await addSweep(1), await addSweep(1), await addSweep(2)];
      const ended = await addSweep(1);
      await run(async ({ jobs, sweeps }) => {
        for (const id of [over.jobIds[0], running.jobIds[0], ended.jobIds[0]])
          await putInState(jobs, id ?? '', 'cancelled');
        await sweeps.update(cancelled.id, { cancelRequested: true });
        await sweeps.update(ended.id, { state: 'failed', finishedAt: at(9) });
      });
      const unsettled = await run(({ sweeps }) => sweeps.unsettled(9));
      expect(unsettled.sort()).toEqual([over.id, cancelled.id].sort());
      expect(await run(({ sweeps }) => sweeps.unsettled(1))).toHaveLength(1);
    });

    it('have no more trials wait for a slot than may have one', async () => {
      const limited = await addSweep(4, { maxConcurrent: 2 });
      const free = await addSweep(2, { maxConcurrent: null });
      const [a = '', b = '', c = '', d = ''] = limited.jobIds;
      await run(async ({ jobs }) => {
        for (const [i, id] of limited.jobIds.entries()) await jobs.update(id, 1, { rankAt: at(i) });
      });
      const waiting = async () => {
        const ids = (await run(({ jobs }) => jobs.waiting(at(50), 99))).map(({ id }) => id);
        for (const id of free.jobIds) expect(ids).toContain(id);
        return limited.jobIds.filter((id) => ids.includes(id));
      };
      expect(await waiting()).toEqual([a, b]);
      await run(({ jobs }) => jobs.update(a, 1, { assignedTo: 'wrk_1', assignedAt: at(9) }));
      expect(await waiting()).toEqual([b]);
      await run(({ jobs }) => putInState(jobs, b, 'running'));
      expect(await waiting()).toEqual([]);
      await run(({ jobs }) => putInState(jobs, a, 'paused', { assignedTo: null }));
      expect(await waiting()).toEqual([c]);
      await run(({ jobs }) => putInState(jobs, b, 'succeeded'));
      expect(await waiting()).toEqual([c, d]);
    });

    it('have jobs whose histories begin together', async () => {
      const { jobIds } = await addSweep(2);
      await run(({ jobs }) => jobs.beginHistory(jobIds, makeEvent()));
      for (const id of jobIds) {
        expect(await run(({ jobs }) => jobs.appendEvent(id, makeEvent()))).toMatchObject({ seq: 2 });
        expect(await run(({ jobs }) => jobs.events(id, 0, 9))).toMatchObject([{ seq: 1 }, { seq: 2 }]);
      }
    });

    it('are listed newest first, page by page, by state', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      await addSweep(1, {}, other);
      const sweeps = [
        await addSweep(1),
        await addSweep(2, { createdAt: at(1) }),
        await addSweep(1, { createdAt: at(2) }),
      ];
      const ids = sweeps.map(({ id }) => id).reverse();
      await run((repositories) =>
        repositories.sweeps.update(ids[1] ?? '', { state: 'failed', finishedAt: at(3) }),
      );
      const list = async (query: { after?: string; limit: number; state?: 'running' }) => {
        const page = await run((repositories) => repositories.sweeps.list(crew.id, query));
        return { ids: page.data.map(({ id }) => id), hasMore: page.hasMore };
      };
      expect(await list({ limit: 2 })).toEqual({ ids: ids.slice(0, 2), hasMore: true });
      expect(await list({ limit: 2, after: ids[1] })).toEqual({ ids: ids.slice(2), hasMore: false });
      expect(await list({ limit: 9, state: 'running' })).toEqual({ ids: [ids[0], ids[2]], hasMore: false });
      const { data } = await run((repositories) => repositories.sweeps.list(crew.id, { limit: 9 }));
      expect(data.map(({ trialCount }) => trialCount)).toEqual([1, 2, 1]);
    });

    it('are what jobs name, and are listed by', async () => {
      const { id, jobIds } = await addSweep(2);
      expect(await crew.job(jobIds[1] ?? '')).toMatchObject({ sweep: { id, trial: 2 }, stoppedEarly: null });
      const { data } = await run(({ jobs }) => jobs.list(crew.id, { limit: 9, sweep: id }));
      expect(data.map((job) => job.id).sort()).toEqual([...jobIds].sort());
      expect((await run(({ jobs }) => jobs.list(crew.id, { limit: 9 }))).data).toHaveLength(3);
    });
  });

  describe('trials', () => {
    it.each([
      ['loss', { step: 10, loss: 2, accuracy: 0.25 }],
      ['accuracy', { step: 20, loss: 2.5, accuracy: 0.5 }],
    ] as const)('tell how they are doing, the best evaluation by %s', async (metric, best) => {
      const { id, jobIds } = await addSweep(2, { metric });
      const [first = '', second = ''] = jobIds;
      const evaluations = [
        [0, 1, 0.9],
        [10, 2, 0.25],
        [20, 2.5, 0.5],
        [30, 3, 0.25],
      ] as const;
      await run(({ jobs }) =>
        jobs.putMetrics(first, [
          ...evaluations.map(([step, loss, accuracy]) => makeMetric({ kind: 'eval', step, loss, accuracy })),
          makeMetric({ step: 40, loss: 0.5 }),
        ]),
      );
      const stoppedEarly = { rung: 1, step: 30, value: 3, needed: 2.75 };
      await run(({ jobs }) => putInState(jobs, first, 'running', { step: 31, totalSteps: 90, stoppedEarly }));
      await run(({ sweeps }) => sweeps.report(id, { rung: 0, trial: 1, step: 10, value: 2, at: at(1) }));
      await run(({ sweeps }) => sweeps.report(id, { rung: 1, trial: 1, step: 30, value: 3, at: at(2) }));
      const common = { parameters: { 'lora.targets': ['q_proj'] }, result: null, version: null };
      expect(await run(({ sweeps }) => sweeps.trials(id))).toEqual([
        {
          ...common,
          ...{ number: 1, jobId: first, state: 'running', step: 31, totalSteps: 90 },
          ...{ latest: { step: 30, loss: 3, accuracy: 0.25 }, best, rung: 1, stoppedEarly },
        },
        {
          ...common,
          ...{ number: 2, jobId: second, state: 'queued', step: 0, totalSteps: null },
          ...{ latest: null, best: null, rung: null, stoppedEarly: null },
        },
      ]);
      expect(await run(({ sweeps }) => sweeps.trials('swp_none'))).toEqual([]);
    });

    it('keep the first result that they publish', async () => {
      const { id, jobIds } = await addSweep(2);
      const job = await crew.job(jobIds[0] ?? '');
      const metrics = makeVersionMetrics({ evalLossAfter: 1.25, evalAccuracyAfter: null });
      const result = { versionId: randomIds.make('version'), manifest: makeManifest(job, { metrics }) };
      expect(await run(({ sweeps }) => sweeps.result(id, 1))).toBeNull();
      await run(({ sweeps }) => sweeps.keepResult(id, 1, result));
      await run(({ sweeps }) =>
        sweeps.keepResult(id, 1, { versionId: randomIds.make('version'), manifest: makeManifest(job) }),
      );
      expect(await run(({ sweeps }) => sweeps.result(id, 1))).toEqual(result);
      expect(await run(({ sweeps }) => sweeps.result(id, 3))).toBeNull();
      expect(await run(({ sweeps }) => sweeps.trials(id))).toMatchObject([
        { result: { loss: 1.25, accuracy: null } },
        { result: null },
      ]);
    });

    it('report once at each rung', async () => {
      const { id } = await addSweep(2);
      const another = await addSweep(1);
      const report = (sweepId: string, trial: number, rung: number, value: number) =>
        run(({ sweeps }) => sweeps.report(sweepId, { rung, trial, step: 10, value, at: at(1) }));
      expect(await report(id, 1, 0, 2.5)).toBe(true);
      expect(await report(id, 1, 0, 2)).toBe(false);
      expect(await report(id, 2, 0, 2.25)).toBe(true);
      expect(await report(id, 1, 1, 1.5)).toBe(true);
      expect(await report(another.id, 1, 0, 9)).toBe(true);
      const values = await run(({ sweeps }) => sweeps.reported(id, 0));
      expect(values.sort()).toEqual([2.25, 2.5]);
      expect(await run(({ sweeps }) => sweeps.reported(id, 2))).toEqual([]);
    });
  });
}
