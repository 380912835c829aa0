import { type JobWakeUp } from '@lowrank/contracts';
import { claimAttempt, type JobQueue, type Ports, randomIds } from '@lowrank/domain';
import { makeWorker } from '@lowrank/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { submitTestJob } from '../test/submit';
import { testWorld, type World } from '../test/world';
import { WorkerMetrics } from '../metrics/worker-metrics';
import { Dispatcher } from './dispatcher';

/** A queue that notes what it is given, and can be away. */
class NotingQueue implements JobQueue {
  readonly woken: JobWakeUp[] = [];
  away = false;

  async wake(wakeUp: JobWakeUp): Promise<void> {
    if (this.away) throw new Error('connect ECONNREFUSED');
    this.woken.push(wakeUp);
  }
  async forget(): Promise<void> {}
  async close(): Promise<void> {}
}

const timings = {
  schedule: 100,
  reconcile: 200,
  settle: 100,
  silentAfter: 500,
  standby: 50,
  unseenAfter: 60_000,
  untakenAfter: 60_000,
  forgetAfter: 3_600_000,
};

describe('Dispatcher', () => {
  const workerId = randomIds.make('worker');
  let world: World;
  let ports: Ports;
  let queue: NotingQueue;
  const dispatchers: Dispatcher[] = [];
  beforeEach(async () => {
    world = await testWorld();
    ports = world.ports;
    queue = new NotingQueue();
    await ports.unitOfWork.run(({ workers }) =>
      workers.upsert(makeWorker({ id: workerId, slots: 8, seenAt: ports.clock.now() })),
    );
  });
  afterEach(async () => {
    await Promise.all(dispatchers.splice(0).map((dispatcher) => dispatcher.stop()));
    await world.end();
  });

  const metrics = new WorkerMetrics();
  const start = (own: JobQueue = queue) => {
    const dispatcher = new Dispatcher(ports, own, timings, metrics);
    dispatchers.push(dispatcher);
    dispatcher.start();
    return dispatcher;
  };
  const until = async (condition: () => boolean | Promise<boolean>) => {
    while (!(await condition())) await sleep(20);
  };
  const wokenFor = (id: string, epoch: number) =>
    queue.woken.filter((wakeUp) => wakeUp.jobId === id && wakeUp.epoch === epoch).length;

  it('carries what is submitted to the queue', async () => {
    start();
    const { job } = await submitTestJob(ports);
    await until(() => wokenFor(job.id, 1) > 0);
    // The entry goes in the transaction that woke the job, which ends a moment after the wake-up.
    await until(async () => (await ports.unitOfWork.run(({ outbox }) => outbox.take(10))).length === 0);
  });

  it('wakes the worker that has a slot, for no more jobs than it has slots', async () => {
    for (let i = 0; i < 9; i++) await submitTestJob(ports);
    start();
    await until(() => queue.woken.length >= 8);
    await sleep(300);
    expect(new Set(queue.woken.map(({ jobId }) => jobId)).size).toBe(8);
    expect(new Set(queue.woken.map((wakeUp) => wakeUp.workerId))).toEqual(new Set([workerId]));
  });

  it('keeps the wake-up while the queue is away', async () => {
    queue.away = true;
    start();
    const { job } = await submitTestJob(ports);
    await sleep(300);
    expect(queue.woken).toEqual([]);
    queue.away = false;
    await until(() => wokenFor(job.id, 1) > 0);
  });

  it('wakes a job again whose wake-up the queue lost', async () => {
    start();
    const { job } = await submitTestJob(ports);
    await until(() => wokenFor(job.id, 1) >= 2);
  });

  it('takes a job from a worker that fell silent', async () => {
    const { job } = await submitTestJob(ports);
    await claimAttempt(ports, { jobId: job.id, epoch: 1 }, randomIds.make('worker'));
    start();
    await until(() => wokenFor(job.id, 2) > 0);
    const record = await ports.unitOfWork.run(({ jobs }) => jobs.lock(job.id));
    expect(record).toMatchObject({ state: 'queued', epoch: 2, workerId: null, assignedTo: workerId });
  });

  it('is one among many, and replaced when it leaves', async () => {
    const others = [new NotingQueue(), new NotingQueue()] as const;
    const first = start(others[0]);
    const { job } = await submitTestJob(ports);
    await until(() => others[0].woken.length > 0);
    start(others[1]);
    await sleep(300);
    expect(others[1].woken).toEqual([]);
    await first.stop();
    await until(() => others[1].woken.some(({ jobId }) => jobId === job.id));
  });
});
