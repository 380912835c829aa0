import { type Seeded } from './catalog-conformance';
import { makeMetric, putInState } from './factories';
import { seedTeam } from './seed';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on what is counted over jobs, of one team or of all. */
export function statisticsConformance(seeded: () => Seeded): void {
  let { unitOfWork, run, crew } = {} as Seeded;
  beforeEach(() => ({ unitOfWork, run, crew } = seeded()));

  describe('statistics', () => {
    it('count the jobs of all teams, and what the dispatcher has yet to carry', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const asking = (...deviceClasses: string[]) => ({ placement: { deviceClasses, memoryBytes: null } });
      const { id } = await crew.addJob();
      await other.addJob();
      await other.addJob(asking('cpu'));
      await crew.addJob({ ...asking('h100', 'cpu'), notBefore: day(5) });
      await crew.addJob({ ...asking('l4'), notBefore: day(4) });
      const done = await crew.addJob(asking('cpu'));
      await run(({ jobs }) => putInState(jobs, done.id, 'failed'));
      const see = () =>
        unitOfWork.read(async ({ statistics }) => ({
          states: (await statistics.jobsByState()).map(({ state, count }) => `${count} ${state}`).sort(),
          queued: await statistics.queuedByDeviceClass({}),
          startable: await statistics.queuedByDeviceClass({ startableAt: day(4) }),
          outbox: await statistics.outbox(),
        }));
      const seen = await see();
      expect(seen.states).toEqual(['1 failed', '5 queued']);
      expect(seen.queued).toEqual([
        { deviceClass: null, count: 2 },
        { deviceClass: 'cpu', count: 2 },
        { deviceClass: 'h100', count: 1 },
        { deviceClass: 'l4', count: 1 },
      ]);
      expect(seen.startable).toEqual([
        { deviceClass: null, count: 2 },
        { deviceClass: 'cpu', count: 1 },
        { deviceClass: 'l4', count: 1 },
      ]);
      expect(seen.outbox).toEqual({ entries: 0, oldestAt: null });
      const start = Date.now();
      for (const epoch of [1, 2]) await run(({ outbox }) => outbox.add({ jobId: id, epoch, workerId: null }));
      const { entries, oldestAt } = (await see()).outbox;
      expect(entries).toBe(2);
      expect(Math.abs(Date.parse(oldestAt ?? '') - start)).toBeLessThan(20_000);
    });

    it('count the jobs of one team', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const asking = (...deviceClasses: string[]) => ({ placement: { deviceClasses, memoryBytes: null } });
      const running = await crew.addJob(asking('cpu'));
      await crew.addJob();
      await other.addJob(asking('h100'));
      await run(({ jobs }) => putInState(jobs, running.id, 'running'));
      const seen = await run(async ({ statistics }) => ({
        states: (await statistics.jobsByState(crew.id)).map(({ state, count }) => `${count} ${state}`).sort(),
        queued: await statistics.queuedByDeviceClass({ teamId: crew.id }),
      }));
      expect(seen).toEqual({
        states: ['1 queued', '1 running'],
        queued: [{ deviceClass: null, count: 1 }],
      });
    });

    it('say what jobs take: those that have not ended, and those that have within the month', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const [long, now, past] = [await crew.addJob(), await crew.addJob(), await crew.addJob()];
      await crew.addJob();
      const done = await other.addJob();
      await run(async ({ jobs }) => {
        await putInState(jobs, long.id, 'succeeded', { trainedTokens: 5, finishedAt: day(1) });
        await putInState(jobs, now.id, 'publishing', { trainedTokens: 2 ** 40 });
        await putInState(jobs, past.id, 'failed', {
          trainedTokens: 7,
          finishedAt: '2025-12-31T23:59:59.999Z',
        });
        await putInState(jobs, done.id, 'cancelled', { trainedTokens: 1, finishedAt: day(2) });
      });
      const use = (teamId?: string) =>
        run(({ statistics }) => statistics.jobsUse({ monthStart: day(1), ...(teamId ? { teamId } : {}) }));
      const own = { teamId: crew.id, trainedTokens: 2 ** 40 + 5, running: 1, queued: 1 };
      expect(await use(crew.id)).toEqual([own]);
      const theirs = { teamId: other.id, trainedTokens: 1, running: 0, queued: 0 };
      expect(await use()).toEqual([own, theirs].sort((a, b) => (a.teamId < b.teamId ? -1 : 1)));
    });

    it('list the queue of all teams by how long jobs wait, page by page', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const first = await crew.addJob({ queuedAt: day(1) });
      const third = await crew.addJob({ queuedAt: day(3) });
      const second = await other.addJob({ queuedAt: day(2), priority: 5 });
      const taken = await crew.addJob({ queuedAt: day(4) });
      const list = (after?: string, limit = 9) =>
        run(({ statistics }) => statistics.queue({ limit, ...(after ? { after } : {}) }));
      await run(async ({ jobs }) => {
        await jobs.update(first.id, 1, { waitingFor: 'a reason.' });
        await jobs.update(third.id, 1, { assignedTo: 'wrk_1', waitingFor: 'no more.' });
        await putInState(jobs, taken.id, 'running');
      });
      const all = await list();
      expect(all.map(({ id }) => id)).toEqual([first.id, second.id, third.id]);
      expect(all).toMatchObject([
        { team: { id: crew.id, name: 'crew' }, waitingFor: 'a reason.', assignedTo: null, queuedAt: day(1) },
        { team: { id: other.id, name: 'other' }, priority: 5, epoch: 1, notBefore: null },
        { waitingFor: null, assignedTo: 'wrk_1' },
      ]);
      expect((await list(undefined, 1)).map(({ id }) => id)).toEqual([first.id]);
      expect((await list(first.id, 1)).map(({ id }) => id)).toEqual([second.id]);
      // A job that has left the queue since still says where the next page begins.
      await run(({ jobs }) => putInState(jobs, second.id, 'running'));
      expect((await list(second.id)).map(({ id }) => id)).toEqual([third.id]);
    });

    it('know the last losses of training of several jobs', async () => {
      const [a, b, none] = [await crew.addJob(), await crew.addJob(), await crew.addJob()];
      await run(async ({ jobs }) => {
        await jobs.putMetrics(
          a.id,
          [1, 2, 3].map((step) => makeMetric({ step, loss: step / 2 })),
        );
        await jobs.putMetrics(a.id, [makeMetric({ step: 3, kind: 'eval', loss: 9 })]);
        await jobs.putMetrics(b.id, [makeMetric({ step: 7, loss: 1 })]);
      });
      const tails = await run(({ jobs }) => jobs.lossTails([a.id, b.id, none.id], 2));
      expect(new Map(tails.map(({ jobId, losses }) => [jobId, losses]))).toEqual(
        new Map([
          [
            a.id,
            [
              { step: 2, loss: 1 },
              { step: 3, loss: 1.5 },
            ],
          ],
          [b.id, [{ step: 7, loss: 1 }]],
        ]),
      );
    });
  });
}
