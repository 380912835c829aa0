import { type JobState, jobStateSchema } from '@lowrank/contracts';
import { assertMove, heldStates, isFinal, legalMoves, moveJob } from './state-machine';
import { World } from './test/world';

const states = jobStateSchema.options;

describe('state machine', () => {
  it('reaches every state from queued, and a final one from every state', () => {
    const reach = (from: JobState, seen = new Set<JobState>()): Set<JobState> => {
      seen.add(from);
      for (const to of legalMoves[from]) if (!seen.has(to)) reach(to, seen);
      return seen;
    };
    expect(reach('queued')).toEqual(new Set(states));
    for (const state of states) expect([...reach(state)].some(isFinal)).toBe(true);
  });

  it('never leaves succeeded, and the other final states only to be tried again', () => {
    expect(states.filter(isFinal).map((from) => [from, legalMoves[from]])).toEqual([
      ['succeeded', []],
      ['cancelled', ['queued']],
      ['failed', ['queued']],
    ]);
  });

  it('lets every attempt crash, be cancelled and fail', () => {
    for (const from of heldStates)
      expect(legalMoves[from]).toEqual(expect.arrayContaining(['queued', 'paused', 'cancelled', 'failed']));
  });

  it('says what is possible instead', () => {
    expect(() => assertMove('paused', 'running')).toThrow(
      'A job that is paused cannot become running; it can become queued, cancelled, failed.',
    );
    expect(() => assertMove('succeeded', 'queued')).toThrow('succeeded is final');
  });

  it('appends one event per move, and none for a refused one', async () => {
    const world = new World();
    const { id } = await world.submit();
    const move = (to: JobState) =>
      world.unitOfWork.run((repositories) =>
        moveJob(repositories, world.job(id), to, { message: 'test', at: world.clock.now() }),
      );
    await move('preparing');
    await expect(move('succeeded')).rejects.toMatchObject({ code: 'illegal_transition' });
    expect(world.job(id).state).toBe('preparing');
    expect(world.history(id)).toEqual(['state queued 1', 'state preparing 1']);
  });

  it('refuses to move a job by an epoch that has passed', async () => {
    const world = new World();
    const { id } = await world.submit();
    const stale = { ...world.job(id), epoch: 0 };
    const moved = world.unitOfWork.run((repositories) =>
      moveJob(repositories, stale, 'preparing', { message: 'test', at: world.clock.now() }),
    );
    await expect(moved).rejects.toMatchObject({ code: 'conflict' });
    expect(world.history(id)).toEqual(['state queued 1']);
  });
});
