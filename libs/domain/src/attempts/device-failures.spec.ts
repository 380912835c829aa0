import { World } from '../test/world';
import { type AttemptRef } from './attempt';
import { claimAttempt } from './claim-attempt';
import { endAttempt } from './end-attempt';
import { reportCheckpoint, reportPhase } from './report-progress';

let world: World;
let attempt: AttemptRef;
beforeEach(async () => {
  world = new World();
  attempt = await world.claimed();
});
const next = async () => {
  attempt = { jobId: attempt.jobId, epoch: attempt.epoch + 1 };
  expect(await claimAttempt(world, attempt, 'wrk_2')).not.toBeNull();
};

it('drains a worker whose device failed, and does not charge the attempt', async () => {
  world.addWorker({ id: 'wrk_1' });
  expect(await endAttempt(world, attempt, { type: 'device_failed', message: 'No kernels' })).toMatchObject({
    ...{ state: 'queued', epoch: 2, fruitlessAttempts: 0 },
  });
  expect(world.tables.workers).toMatchObject([
    { drain: 'checkpoint', failure: { message: `Attempt 1 of job ${attempt.jobId}: No kernels.` } },
  ]);
});

it('takes a job for the cause when the third device in a row fails while it trains', async () => {
  const outcome = { type: 'device_failed', message: 'Illegal address' } as const;
  const trains = () => reportPhase(world, attempt, 'running');
  // Where it had not begun to train it is not to blame; a checkpoint shows that it can be trained.
  expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state: 'queued', deviceFailures: 0 });
  await next();
  await trains();
  expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state: 'queued', deviceFailures: 1 });
  await next();
  await trains();
  await reportCheckpoint(world, attempt, { step: 5, sha256: 'a'.repeat(64) });
  for (const deviceFailures of [1, 2]) {
    expect(await endAttempt(world, attempt, outcome)).toMatchObject({ state: 'queued', deviceFailures });
    await next();
    await trains();
  }
  expect(await endAttempt(world, attempt, outcome)).toMatchObject({
    ...{ state: 'failed', error: { code: 'device_failed' }, fruitlessAttempts: 1 },
  });
});
