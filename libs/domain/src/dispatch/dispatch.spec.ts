import { claimAttempt } from '../attempts/claim-attempt';
import { reportHeartbeat } from '../attempts/report-progress';
import { World } from '../test/world';
import { dispatchOutbox } from './dispatch-outbox';
import { reconcile } from './reconcile';

let world: World;
beforeEach(() => (world = new World()));

describe('dispatchOutbox', () => {
  it('wakes in order and removes what was woken', async () => {
    const ids = [await world.submit(), await world.submit(), await world.submit()].map(
      (job) => `${job.id}#1`,
    );
    expect(await dispatchOutbox(world.unitOfWork, world.queue, 2)).toBe(2);
    expect(await dispatchOutbox(world.unitOfWork, world.queue, 2)).toBe(1);
    expect(await dispatchOutbox(world.unitOfWork, world.queue, 2)).toBe(0);
    expect(world.queue.wakeUps).toEqual(ids);
    expect(world.tables.outbox).toEqual([]);
  });

  it('keeps what the queue did not take', async () => {
    for (let i = 0; i < 3; i++) await world.submit();
    world.queue.failAfter = 1;
    await expect(dispatchOutbox(world.unitOfWork, world.queue)).rejects.toMatchObject({
      code: 'store_unavailable',
    });
    expect(world.tables.outbox).toHaveLength(2);
    world.queue.failAfter = Infinity;
    expect(await dispatchOutbox(world.unitOfWork, world.queue)).toBe(2);
    expect(world.queue.wakeUps).toHaveLength(3);
  });
});

describe('reconcile', () => {
  const options = { silentAfterMs: 30_000 };

  it('wakes queued jobs that the queue lost', async () => {
    const { id } = await world.submit();
    expect(await reconcile(world, world.queue, options)).toEqual({ woken: 1, crashed: 0 });
    expect(world.queue.wakeUps).toEqual([`${id}#1`]);
  });

  it('takes jobs from silent workers, which are fenced off', async () => {
    const attempt = await world.claimed();
    world.pass(30_000);
    expect(await reconcile(world, world.queue, options)).toEqual({ woken: 0, crashed: 0 });
    world.pass(1);
    expect(await reconcile(world, world.queue, options)).toEqual({ woken: 1, crashed: 1 });
    expect(world.job(attempt.jobId)).toMatchObject({ state: 'queued', epoch: 2 });
    expect(world.queue.wakeUps).toEqual([`${attempt.jobId}#2`]);
    expect(await reportHeartbeat(world, attempt)).toMatchObject({ fenced: true });
  });

  it('spares an attempt that spoke up meanwhile', async () => {
    const attempt = await world.claimed();
    world.pass(60_000);
    const { clock, unitOfWork } = world;
    const run = unitOfWork.run.bind(unitOfWork);
    // The heartbeat comes in between the two transactions: after the list of silent jobs, before the lock.
    jest.spyOn(unitOfWork, 'run').mockImplementationOnce(async (work) => {
      const silent = await run(work);
      await reportHeartbeat({ clock, unitOfWork }, attempt);
      return silent;
    });
    expect(await reconcile(world, world.queue, options)).toEqual({ woken: 0, crashed: 0 });
    expect(world.job(attempt.jobId).state).toBe('preparing');
  });

  it('of a fresh claim does nothing', async () => {
    const { id } = await world.submit();
    await claimAttempt(world, { jobId: id, epoch: 1 }, 'wrk_1');
    expect(await reconcile(world, world.queue, options)).toEqual({ woken: 0, crashed: 0 });
  });
});
