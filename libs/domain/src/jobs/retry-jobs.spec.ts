import { cancelJob } from './cancel-job';
import { retryJobs } from './retry-jobs';
import { team, World } from '../test/world';

let world: World;
beforeEach(() => (world = new World()));

const cancelled = async () => {
  const { id } = await world.submit();
  await cancelJob(world, team, id);
  return id;
};

describe('retryJobs', () => {
  it('queues all that can be, and says of the others why not', async () => {
    const ids = [await cancelled(), await cancelled()];
    const { id: waiting } = await world.submit();
    const none = world.ids.make('job');
    const { retried, refused } = await retryJobs(world, team, [...ids, waiting, none]);
    expect(retried.map(({ id, state, epoch }) => [id, state, epoch])).toEqual(
      [...ids].sort().map((id) => [id, 'queued', 2]),
    );
    expect(refused.map(({ id, code }) => [id, code])).toEqual([
      [waiting, 'illegal_transition'],
      [none, 'not_found'],
    ]);
    expect(world.job(waiting).epoch).toBe(1);
  });

  it('stops at the quota of the team', async () => {
    const ids = [await cancelled(), await cancelled()];
    Object.assign(world.tables.teams[0] ?? {}, { maxQueued: 1 });
    const { retried, refused } = await retryJobs(world, team, ids);
    expect([retried.length, refused[0]?.code]).toEqual([1, 'quota_exceeded']);
  });

  it("changes nothing where none can be, nor anything of another team's", async () => {
    const id = await cancelled();
    Object.assign(world.job(id), { teamId: `team_${'b'.repeat(24)}` });
    const before = structuredClone(world.tables);
    await expect(retryJobs(world, team, [id])).rejects.toMatchObject({ code: 'not_found' });
    expect(world.tables).toEqual(before);
  });
});
