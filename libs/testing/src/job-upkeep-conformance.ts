import { type JobState, jobStateSchema } from '@lowrank/contracts';
import { heldStates, type JobPatch, type Offer } from '@lowrank/domain';
import { type Seeded } from './catalog-conformance';
import { makeEstimate, putInState } from './factories';
import { seedTeam } from './seed';

const nobody = `job_${'z'.repeat(24)}`;
const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** The part of unitOfWorkConformance on what the dispatcher, the reconciler and the janitors look for among jobs. */
export function jobUpkeepConformance(seeded: () => Seeded): void {
  let { run, crew, unitOfWork } = {} as Seeded;
  beforeEach(() => ({ run, crew, unitOfWork } = seeded()));

  describe('jobs that suit offers', () => {
    const offer = (changes: Partial<Offer>): Offer => ({
      ...{ deviceClass: 'cpu', roomBytes: null, hasShare: true, most: 9 },
      ...changes,
    });
    const suited = async (...offers: Offer[]) =>
      (await run(({ jobs }) => jobs.suited(day(4), offers))).map(({ id }) => id);
    const needing = (deviceClasses: string[] | null, memoryBytes: number | null) => ({
      placement: { deviceClasses, memoryBytes },
    });

    it('are found behind any number of those that do not, the first of each team and offer', async () => {
      const other = await seedTeam(unitOfWork, 'other');
      const gpu: string[] = [];
      for (let i = 0; i < 12; i++)
        gpu.push((await crew.addJob({ ...needing(['h100'], null), rankAt: day(1) })).id);
      const late = await crew.addJob({ ...needing(['h100', 'cpu'], null), rankAt: day(3) });
      const later = await crew.addJob({ rankAt: day(4) });
      const theirs = await other.addJob({ rankAt: day(2) });
      await other.addJob({ rankAt: day(1), notBefore: day(5) });
      expect(await suited(offer({ most: 1 }))).toEqual([theirs.id, late.id]);
      expect(await suited(offer({}), offer({ most: 1 }))).toEqual([theirs.id, late.id, later.id]);
      expect(await suited(offer({ deviceClass: 'h100', most: 13 }))).toEqual([
        ...gpu.sort(),
        theirs.id,
        late.id,
      ]);
      expect(await suited(offer({ deviceClass: 'x' }))).toEqual([theirs.id, later.id]);
      expect(await suited()).toEqual([]);
    });

    it('need no more memory than there is, by what they ask for, by their estimates, or a share', async () => {
      const asks = await crew.addJob({ ...needing(null, 2 ** 40), estimate: makeEstimate(), rankAt: day(1) });
      const estimated = await crew.addJob({ estimate: makeEstimate(), rankAt: day(2) });
      const unknown = await crew.addJob({ rankAt: day(3) });
      expect(await suited(offer({}))).toEqual([asks.id, estimated.id, unknown.id]);
      expect(await suited(offer({ roomBytes: 2 ** 40 }))).toEqual([asks.id, estimated.id, unknown.id]);
      expect(await suited(offer({ roomBytes: 2 ** 40 - 1, hasShare: false }))).toEqual([estimated.id]);
      expect(await suited(offer({ roomBytes: 4_500_000_000 }))).toEqual([estimated.id, unknown.id]);
      expect(await suited(offer({ roomBytes: 4_499_999_999 }))).toEqual([unknown.id]);
    });

    it('are told as those that wait are', async () => {
      await crew.addJob({ estimate: makeEstimate() });
      expect(await run(({ jobs }) => jobs.suited(day(4), [offer({})]))).toEqual(
        await run(({ jobs }) => jobs.waiting(day(4), 1)),
      );
    });
  });

  describe('jobs to be seen to', () => {
    it('have a slot when a worker holds them or is to get them', async () => {
      const states: [JobState, JobPatch][] = [
        ...heldStates.map((state): [JobState, JobPatch] => [
          state,
          { workerId: 'wrk_1', attemptStartedAt: day(2) },
        ]),
        ['queued', { assignedTo: 'wrk_2', assignedAt: day(3) }],
        ['queued', {}],
        ['paused', {}],
        ['failed', { workerId: 'wrk_1' }],
      ];
      const ids: string[] = [];
      for (const [state, patch] of states) {
        const { id } = await crew.addJob({ priority: 2 });
        await run(({ jobs }) => putInState(jobs, id, state, patch));
        ids.push(id);
      }
      const placed = await run(({ jobs }) => jobs.placed());
      expect(placed.map(({ id }) => id)).toEqual(ids.slice(0, 4).sort());
      expect(placed.find(({ id }) => id === ids[3])).toEqual({
        id: ids[3],
        epoch: 1,
        teamId: crew.id,
        state: 'queued',
        priority: 2,
        placement: { deviceClasses: null, memoryBytes: null },
        estimatedBytes: null,
        sharedBytes: null,
        rankAt: day(1),
        workerId: null,
        assignedTo: 'wrk_2',
        assignedAt: day(3),
        attemptStartedAt: null,
        cancelRequested: false,
        pauseRequested: false,
        preemptRequested: false,
        party: null,
      });
    });

    it('are overdue when their deadline has come and they are not over', async () => {
      const late = await crew.addJob({ deadline: day(2) });
      const later = await crew.addJob({ deadline: day(1) });
      await crew.addJob({ deadline: day(4) });
      await crew.addJob();
      const done = await crew.addJob({ deadline: day(1) });
      await run(({ jobs }) => putInState(jobs, done.id, 'succeeded'));
      const overdue = async (limit: number) =>
        (await run(({ jobs }) => jobs.overdue(day(2), limit))).map(({ id }) => id);
      expect(await overdue(9)).toEqual([later.id, late.id]);
      expect(await overdue(1)).toEqual([later.id]);
    });

    it('have finished when they have ended, whosever they are', async () => {
      const ids: string[] = [];
      for (const state of jobStateSchema.options) {
        const { id } = await crew.addJob();
        await run(({ jobs }) => putInState(jobs, id, state, { epoch: 2 }));
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
        await run(({ jobs }) => putInState(jobs, id, state, { heartbeatAt }));
      }
      const silent = async (limit: number) =>
        (await run(({ jobs }) => jobs.silent(day(6), limit))).map((job) => job.heartbeatAt);
      expect(await silent(9)).toEqual([day(3), day(4), day(5)]);
      expect(await silent(1)).toEqual([day(3)]);
    });
  });
}
