import { type JobState, jobStateSchema } from '@lowrank/contracts';
import { heldStates } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';

const nobody = `job_${'z'.repeat(24)}`;
const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on what the reconciler and the janitors look for among jobs. */
export function jobUpkeepConformance(seeded: () => Seeded): void {
  let { run, crew } = {} as Seeded;
  beforeEach(() => ({ run, crew } = seeded()));

  describe('jobs to be seen to', () => {
    it('are overdue when their deadline has come and they are not over', async () => {
      const late = await crew.addJob({ deadline: day(2) });
      const later = await crew.addJob({ deadline: day(1) });
      await crew.addJob({ deadline: day(4) });
      await crew.addJob();
      const done = await crew.addJob({ deadline: day(1) });
      await run(({ jobs }) => jobs.update(done.id, 1, { state: 'succeeded' }));
      const overdue = async (limit: number) =>
        (await run(({ jobs }) => jobs.overdue(day(2), limit))).map(({ id }) => id);
      expect(await overdue(9)).toEqual([later.id, late.id]);
      expect(await overdue(1)).toEqual([later.id]);
    });

    it('have finished when they have ended, whosever they are', async () => {
      const ids: string[] = [];
      for (const state of jobStateSchema.options) {
        const { id } = await crew.addJob();
        await run(({ jobs }) => jobs.update(id, 1, { state, epoch: 2 }));
        ids.push(id);
      }
      const states = new Map(ids.map((id, i) => [id, jobStateSchema.options[i]]));
      const finished = await run(({ jobs }) => jobs.finished([...ids, nobody]));
      expect(finished.map(({ id }) => states.get(id)).sort()).toEqual(['cancelled', 'failed', 'succeeded']);
      expect(finished.map(({ epoch }) => epoch)).toEqual([2, 2, 2]);
      expect(await run(({ jobs }) => jobs.finished([]))).toEqual([]);
    });

    it('in hand are silent before a time, the longest first', async () => {
      const beats: [JobState, string | null][] = [
        ...heldStates.map((state, index): [JobState, string] => [state, day(5 - index)]),
        ['running', day(6)],
        ['queued', day(1)],
        ['succeeded', day(1)],
        ['running', null],
      ];
      for (const [state, heartbeatAt] of beats) {
        const { id } = await crew.addJob();
        await run(({ jobs }) => jobs.update(id, 1, { state, heartbeatAt }));
      }
      const silent = async (limit: number) =>
        (await run(({ jobs }) => jobs.silent(day(6), limit))).map((job) => job.heartbeatAt);
      expect(await silent(9)).toEqual([day(3), day(4), day(5)]);
      expect(await silent(1)).toEqual([day(3)]);
    });
  });
}
