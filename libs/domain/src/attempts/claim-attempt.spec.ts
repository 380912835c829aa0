import { World } from '../test/world';
import { claimAttempt } from './claim-attempt';

describe('a wake-up that names no worker', () => {
  it.each([
    ['before its time', { notBefore: '2026-01-01T00:00:01Z' }, {}],
    ['of a class that the worker is not of', { placement: { deviceClasses: ['h100'] } }, {}],
    ['for which there is no memory', { placement: { memoryBytes: 601 } }, { memoryBytes: 1000 }],
    ['for which there is no slot', {}, { slots: 1 }],
  ])('leaves a job %s to the dispatcher', async (_title, request, facts) => {
    const world = new World();
    const held = await world.claimed();
    world.job(held.jobId).placement.memoryBytes = 400;
    const { id } = await world.submit(request);
    const worker = world.addWorker({ id: 'wrk_1', slots: 2, ...facts });
    const claim = () => claimAttempt(world, { jobId: id, epoch: 1, workerId: null }, worker.id);
    expect(await claim()).toBeNull();
    expect(world.job(id)).toMatchObject({ state: 'queued', epoch: 1 });
    world.pass(1000);
    Object.assign(world.tables.workers[0] ?? {}, { deviceClass: 'h100', memoryBytes: 0, slots: 2 });
    expect(await claim()).not.toBeNull();
  });
});
