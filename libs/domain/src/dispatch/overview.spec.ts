import { World } from '../test/world';
import { overviewOf } from './overview';

const asking = (...deviceClasses: string[]) => ({ placement: { deviceClasses } });

describe('overviewOf', () => {
  it('counts jobs, workers and slots, and what the dispatcher has yet to carry', async () => {
    const world = new World();
    const failure = { message: 'gone', at: world.clock.now() };
    world.addWorker({ deviceClass: 'cpu', slots: 2, failure });
    const { id } = world.addWorker({ deviceClass: 'h100', slots: 8 });
    world.addWorker({ deviceClass: 'gone', seenAt: '2025-12-31T00:00:00.000Z' });
    await world.submit();
    await world.submit(asking('h100'));
    await world.submit(asking('cpu', 'h100'));
    await world.submit(asking('invented', 'gone'));
    await world.submit({ notBefore: '2026-01-01T00:00:03Z' });
    const { jobId } = await world.claimed();
    Object.assign(world.job(jobId), { workerId: id });
    world.tables.outbox.forEach((entry) => (entry.at = world.clock.now()));
    world.pass(2500);

    const { jobs, queued, workers, outbox } = await overviewOf(world);
    expect(jobs.filter(({ count }) => count > 0)).toEqual([
      { state: 'queued', count: 5 },
      { state: 'preparing', count: 1 },
    ]);
    expect(jobs).toHaveLength(8);
    expect(queued).toEqual([
      { deviceClass: 'any', count: 1 },
      { deviceClass: 'cpu', count: 1 },
      { deviceClass: 'h100', count: 2 },
      { deviceClass: 'other', count: 2 },
    ]);
    expect(workers).toEqual([
      { deviceClass: 'cpu', workers: 1, slots: 2, busy: 0, failed: 1 },
      { deviceClass: 'h100', workers: 1, slots: 8, busy: 1, failed: 0 },
    ]);
    expect(outbox).toEqual({ entries: 6, lagSeconds: 2.5 });
  });

  it('tells of a class for an hour after its last worker was seen', async () => {
    const world = new World();
    world.addWorker({ deviceClass: 'h100', slots: 8 });
    await world.submit(asking('h100'));
    world.pass(3_600_000);
    const { queued, workers } = await overviewOf(world);
    expect(queued).toContainEqual({ deviceClass: 'h100', count: 1 });
    expect(workers).toEqual([{ deviceClass: 'h100', workers: 0, slots: 0, busy: 0, failed: 0 }]);
    world.pass(1);
    expect((await overviewOf(world)).queued).toContainEqual({ deviceClass: 'other', count: 1 });
  });

  it('is all noughts where nothing is', async () => {
    const { jobs, queued, workers, outbox } = await overviewOf(new World());
    expect(jobs.every(({ count }) => count === 0)).toBe(true);
    expect([queued.map(({ deviceClass }) => deviceClass), workers, outbox]).toEqual([
      ['any', 'other'],
      [],
      { entries: 0, lagSeconds: 0 },
    ]);
  });
});
