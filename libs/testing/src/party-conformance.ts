import { type JobPatch, type Repositories } from '@lowrank/domain';
import { putInState } from './factories';
import { type SeededTeam, seedTeam } from './seed';
import { type UnitOfWorkUnderTest } from './unit-of-work-conformance';

const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();

/** What PartyRepository promises, and JobRepository of jobs that may train together. */
export function partyConformance(
  open: () => Pick<UnitOfWorkUnderTest, 'unitOfWork'> & {
    crew: SeededTeam;
    run<T>(work: (repositories: Repositories) => Promise<T>): Promise<T>;
  },
): void {
  it('parties come back as they were written, until they are removed', async () => {
    const { run } = open();
    const party = { id: 'pty_2', members: 3, clock: 0.1 + 0.2, clockAt: day(1), memoryBytes: 2 ** 45 };
    const other = { ...party, id: 'pty_1', memoryBytes: null };
    await run(async ({ parties }) => {
      await parties.insert(party);
      await parties.insert(other);
    });
    expect(await run(({ parties }) => parties.list())).toEqual([other, party]);
    const changed = { ...party, members: 2, clock: 7, clockAt: day(2) };
    await run(({ parties }) => parties.update(changed));
    expect(await run(({ parties }) => parties.lock(party.id))).toEqual(changed);
    await run(({ parties }) => parties.remove(party.id));
    await run(({ parties }) => parties.remove(party.id));
    expect(await run(({ parties }) => parties.lock(party.id))).toBeNull();
    expect(await run(({ parties }) => parties.list())).toEqual([other]);
  });

  it('jobs are alike that may start on the same base model, with the same priority', async () => {
    const { run, crew, unitOfWork } = open();
    const other = await seedTeam(unitOfWork, 'other');
    const lead = await crew.addJob({ rankAt: day(1), priority: 1 });
    const add = async (rank: number, patch: JobPatch = {}, team = crew, priority = 1) => {
      const { id } = await team.addJob({ rankAt: day(rank), priority, notBefore: day(4) });
      await run(({ jobs }) => jobs.update(id, 1, patch));
      return id;
    };
    const [third, second] = [await add(3), await add(2)];
    const running = await add(2);
    await run(({ jobs }) => putInState(jobs, running, 'running'));
    await add(2, { assignedTo: 'wrk_1' });
    await add(2, { fruitlessAttempts: 1 });
    await add(2, {}, other);
    await add(2, {}, crew, 2);
    const alike = (now: string, limit = 9) =>
      run(async ({ jobs }) => {
        const job = await jobs.lock(lead.id);
        if (job === null) throw new Error('no lead');
        return (await jobs.lockAlike(job, now, limit)).map(({ id }) => id);
      });
    expect(await alike(day(4))).toEqual([second, third]);
    expect(await alike(day(4), 1)).toEqual([second]);
    expect(await alike(day(3))).toEqual([]);
    const assigned = run(async ({ jobs }) => {
      const job = await jobs.lock(lead.id);
      return job && jobs.countAssignedAlike(job);
    });
    expect(await assigned).toBe(1);
  });
}
