import { claimAttempt } from '../attempts/claim-attempt';
import { endAttempt } from '../attempts/end-attempt';
import { reportHeartbeat, reportPhase } from '../attempts/report-progress';
import { addDataset, type DatasetFacts } from '../catalog/add-dataset';
import { cancelJob } from '../jobs/cancel-job';
import { pauseJob } from '../jobs/pause-job';
import { before } from '../clock-and-ids';
import { team, World } from '../test/world';
import { freshTeam } from '../test/tables';
import { carryWakeUps, dispatchOutbox } from './dispatch-outbox';
import { drainWorker, listWorkers } from './drain-worker';
import { reconcile } from './reconcile';
import { explainWaiting } from './waiting-for';
import { scheduleJobs } from './schedule';

let world: World;
beforeEach(() => (world = new World()));

const options = { unseenAfterMs: 12_000, untakenAfterMs: 60_000 };
const schedule = () => scheduleJobs(world, options);
const carry = (limit?: number) => dispatchOutbox(world.unitOfWork, world.queue, limit);
const see = () => world.tables.workers.forEach((worker) => (worker.seenAt = world.clock.now()));

describe('dispatchOutbox', () => {
  const addEntries = async (workers: (string | null)[]) => {
    const { id: jobId } = await world.submit();
    world.tables.outbox.length = 0;
    await world.unitOfWork.run(async ({ outbox }) => {
      for (const [index, workerId] of workers.entries())
        await outbox.add({ jobId, epoch: index + 1, workerId });
    });
    return jobId;
  };

  it('wakes workers in order, and removes what was woken and what was news', async () => {
    const id = await addEntries(['wrk_1', null, 'wrk_2']);
    expect(await carry(2)).toBe(2);
    expect(await carry(2)).toBe(1);
    expect(await carry(2)).toBe(0);
    expect(world.queue.wakeUps).toEqual([`${id}#1 wrk_1`, `${id}#3 wrk_2`]);
    expect(world.tables.outbox).toEqual([]);
  });

  it('keeps what the queue did not take', async () => {
    await addEntries(['wrk_1', 'wrk_1', 'wrk_1']);
    world.queue.failAfter = 1;
    await expect(carry()).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(world.tables.outbox).toHaveLength(2);
    world.queue.failAfter = Infinity;
    expect(await carry()).toBe(2);
    expect(world.queue.wakeUps).toHaveLength(3);
  });
});

describe('scheduleJobs', () => {
  it('gives a free slot to a job, writes that down, and wakes the worker', async () => {
    const { id } = await world.submit();
    expect(await schedule()).toMatchObject({ assigned: 0, preempted: 0, withdrawn: 0, wakeUps: [] });
    const worker = world.addWorker();
    const { assigned, wakeUps } = await schedule();
    expect(assigned).toBe(1);
    expect(world.job(id)).toMatchObject({
      state: 'queued',
      assignedTo: worker.id,
      assignedAt: world.clock.now(),
    });
    expect(world.tables.outbox).toHaveLength(1);
    await carryWakeUps(world.unitOfWork, world.queue, wakeUps);
    expect(world.queue.wakeUps).toEqual([`${id}#1 ${worker.id}`]);
    expect(world.tables.outbox).toEqual([]);
    expect(await claimAttempt(world, { jobId: id, epoch: 1, workerId: worker.id }, worker.id)).not.toBeNull();
  });

  it('feeds only free slots, and goes on when one is given back', async () => {
    const worker = world.addWorker({ slots: 2 });
    const jobs = [await world.submit(), await world.submit(), await world.submit()];
    expect(await schedule()).toMatchObject({ assigned: 2 });
    expect(await schedule()).toMatchObject({ assigned: 0 });
    const attempt = { jobId: jobs[0]?.id ?? '', epoch: 1, workerId: worker.id };
    await claimAttempt(world, attempt, worker.id);
    expect(await schedule()).toMatchObject({ assigned: 0 });
    world.tables.outbox.length = 0;
    await endAttempt(world, attempt, { type: 'failed', code: 'internal', message: '', retryable: false });
    expect(world.tables.outbox).toHaveLength(1);
    expect(await schedule()).toMatchObject({ assigned: 1 });
    expect(world.job(jobs[2]?.id ?? '').assignedTo).toBe(worker.id);
  });

  it.each([
    ['was not seen for too long', { seenAt: '2025-12-31T23:59:47.999Z' }],
    ['drains', { drain: 'finish' as const }],
    ['is of the release before', { wakeUpVersion: 1 }],
    ['is of another device class', { deviceClass: 'h100' }],
    ['has too little memory', { memoryBytes: 999 }],
  ])('gives nothing to a worker that %s', async (_title, worker) => {
    // Submitted before there were workers: afterwards it would be refused.
    await world.submit({ placement: { deviceClasses: ['cpu'], memoryBytes: 1000 } });
    world.addWorker(worker);
    expect(await schedule()).toMatchObject({ assigned: 0 });
  });

  it('takes the predicted memory of a job that asks for none', async () => {
    world.plannedLengths = [30, 40];
    const { id, estimate } = await world.submit();
    const bytes = estimate?.memory?.bytes ?? 0;
    world.addWorker({ memoryBytes: bytes - 1 });
    expect(await schedule()).toMatchObject({ assigned: 0 });
    const enough = world.addWorker({ memoryBytes: bytes });
    expect(await schedule()).toMatchObject({ assigned: 1 });
    expect(world.job(id).assignedTo).toBe(enough.id);
  });

  it.each([
    ['a class that nobody has free', { deviceClasses: ['h100'] }],
    ['more memory than is left', { memoryBytes: 1001 }],
  ])('finds a job behind a dozen of its team that need %s', async (_title, placement) => {
    // Submitted before there were workers: afterwards they would be refused.
    for (let i = 0; i < 12; i++) await world.submit({ priority: 1, placement });
    const { id } = await world.submit({ placement: { memoryBytes: 1000 } });
    const worker = world.addWorker({ memoryBytes: 1000 });
    expect(await schedule()).toMatchObject({ assigned: 1 });
    expect(world.job(id).assignedTo).toBe(worker.id);
  });

  it('starts nothing before its time, and then it does', async () => {
    world.addWorker();
    await world.submit({ notBefore: '2026-01-01T00:00:05Z' });
    expect(await schedule()).toMatchObject({ assigned: 0 });
    world.pass(5000);
    expect(await schedule()).toMatchObject({ assigned: 1 });
  });

  it('takes back what a worker that went away was to get, and gives it to another', async () => {
    const gone = world.addWorker();
    const { id } = await world.submit();
    await schedule();
    expect(world.job(id).assignedTo).toBe(gone.id);
    world.pass(12_001);
    const other = world.addWorker();
    expect(await schedule()).toMatchObject({ assigned: 1, preempted: 0, withdrawn: 1 });
    expect(world.job(id).assignedTo).toBe(other.id);
    expect(await claimAttempt(world, { jobId: id, epoch: 1, workerId: gone.id }, gone.id)).toBeNull();
  });

  it('takes back what a worker does not take though it could', async () => {
    world.addWorker();
    await world.submit();
    await schedule();
    world.pass(60_000);
    see();
    expect(await schedule()).toMatchObject({ withdrawn: 0 });
    world.pass(1);
    expect(await schedule()).toMatchObject({ withdrawn: 1, assigned: 1 });
  });

  it("holds to a team's quota of running jobs and of device seconds", async () => {
    world.addWorker({ slots: 3 });
    Object.assign(world.tables.teams[0] as object, { maxRunning: 1 });
    for (let i = 0; i < 3; i++) await world.submit();
    expect(await schedule()).toMatchObject({ assigned: 1 });
    expect(await schedule()).toMatchObject({ assigned: 0 });
    Object.assign(world.tables.teams[0] as object, { maxRunning: null, deviceSecondsPerMonth: 50 });
    world.tables.usage.push({ teamId: team, hour: world.clock.now(), seconds: 50 });
    expect(await schedule()).toMatchObject({ assigned: 0 });
  });

  it('counts what runs now against the device seconds of the month', async () => {
    world.addWorker({ slots: 2 });
    Object.assign(world.tables.teams[0] as object, { deviceSecondsPerMonth: 10 });
    await world.claimed();
    await world.submit();
    world.pass(10_000);
    see();
    expect(await schedule()).toMatchObject({ assigned: 0 });
  });

  describe('with all slots taken', () => {
    let running: string;
    let urgent: string;
    beforeEach(async () => {
      const worker = world.addWorker({ id: 'wrk_1' });
      running = (await world.submit({ priority: 1 })).id;
      await schedule();
      await claimAttempt(world, { jobId: running, epoch: 1, workerId: worker.id }, worker.id);
      world.pass(60_000);
      see();
      urgent = (await world.submit({ priority: 2 })).id;
    });
    const wait = () => {
      world.pass(30_000);
      see();
    };

    it('asks the job of lower priority for its slot once the other has waited, and only once', async () => {
      expect(await schedule()).toMatchObject({ preempted: 0 });
      wait();
      expect(await schedule()).toMatchObject({ assigned: 0, preempted: 1, withdrawn: 0 });
      expect(world.job(urgent).assignedTo).toBe('wrk_1');
      expect(world.job(running).preemptRequested).toBe(true);
      expect(await reportHeartbeat(world, { jobId: running, epoch: 1 })).toBe('yield');
      wait();
      wait();
      wait();
      expect(await schedule()).toMatchObject({ assigned: 0, preempted: 0, withdrawn: 0 });
      await endAttempt(world, { jobId: running, epoch: 1 }, { type: 'drained' });
      expect(world.job(running)).toMatchObject({ state: 'queued', epoch: 2, preemptRequested: false });
      expect(await schedule()).toMatchObject({ assigned: 0 });
      const wakeUp = { jobId: urgent, epoch: 1, workerId: 'wrk_1' };
      expect(await claimAttempt(world, wakeUp, 'wrk_1')).not.toBeNull();
    });

    it('asks for the slot though a dozen come first that fit nowhere', async () => {
      for (let i = 0; i < 12; i++) {
        const { id } = await world.submit({ priority: 3 });
        world.job(id).placement = { deviceClasses: ['h100'], memoryBytes: null };
      }
      wait();
      expect(await schedule()).toMatchObject({ preempted: 1 });
      expect(world.job(urgent).assignedTo).toBe('wrk_1');
    });

    it('leaves a job that publishes, and one whose slot is being given back anyway', async () => {
      wait();
      await pauseJob(world, team, running);
      expect(await schedule()).toMatchObject({ preempted: 0 });
      world.job(running).pauseRequested = false;
      await reportPhase(world, { jobId: running, epoch: 1 }, 'publishing');
      expect(await schedule()).toMatchObject({ preempted: 0 });
    });

    it('does not take from a team that has had less', async () => {
      world.tables.teams.push(freshTeam('team_b', 'other'));
      world.job(running).teamId = 'team_b';
      world.tables.usage.push({ teamId: team, hour: world.clock.now(), seconds: 1000 });
      wait();
      expect(await schedule()).toMatchObject({ preempted: 0 });
      world.tables.usage.push({ teamId: 'team_b', hour: world.clock.now(), seconds: 3000 });
      expect(await schedule()).toMatchObject({ preempted: 1 });
    });
  });
});

describe('explainWaiting', () => {
  const explain = () => explainWaiting(world, options.unseenAfterMs);
  const reasonOf = async (id: string) =>
    (await world.unitOfWork.run(({ jobs }) => jobs.find(team, id)))?.waitingFor ?? null;
  const told = (id: string) =>
    world.tables.events.filter(({ jobId }) => jobId === id).map(({ message }) => message);

  it('tells once why a job would not start though every slot were free, and takes it back', async () => {
    const { id } = await world.submit({ placement: { deviceClasses: ['h100'], memoryBytes: 2e9 } });
    expect(await explain()).toBe(1);
    expect(await explain()).toBe(0);
    expect(await reasonOf(id)).toBe('no worker is there that takes jobs.');
    world.addWorker({ deviceClass: 'cpu', memoryBytes: 8e9 });
    const become = (changes: object) => Object.assign(world.tables.workers[0] ?? {}, changes);
    await explain();
    expect(await reasonOf(id)).toBe('no worker of class h100 is there that takes jobs.');
    become({ deviceClass: 'h100', memoryBytes: 1e9 });
    await explain();
    expect(await reasonOf(id)).toBe(
      'it takes 2.00 GB at its peak, and the largest worker that may run it has 1.00 GB.',
    );
    expect(told(id).at(-1)).toMatch(/^It waits: it takes 2.00 GB/);
    become({ memoryBytes: 4e9 });
    await explain();
    expect(await reasonOf(id)).toBeNull();
    expect(told(id).at(-1)).toBe('It takes its turn again.');
  });

  it('says nothing of a job that only waits for its turn, nor of one that has a slot', async () => {
    world.addWorker();
    const first = await world.submit();
    const second = await world.submit();
    await schedule();
    expect(await explain()).toBe(0);
    for (const { id } of [first, second]) expect(await reasonOf(id)).toBeNull();
  });

  it('names a quota that is used up', async () => {
    world.addWorker();
    const { id } = await world.submit();
    Object.assign(world.tables.teams[0] ?? {}, { deviceSecondsPerMonth: 0 });
    await explain();
    expect(await reasonOf(id)).toMatch(/used up the 0 device seconds/);
  });
});

describe('reconcile', () => {
  const limits = { silentAfterMs: 30_000, forgetAfterMs: 3_600_000 };
  const mend = () => reconcile(world, world.queue, limits);

  it('wakes jobs again whose wake-up the queue lost', async () => {
    world.addWorker({ id: 'wrk_1' });
    const { id } = await world.submit();
    expect(await mend()).toEqual({ woken: 0, crashed: 0, overdue: 0 });
    await schedule();
    expect(await mend()).toEqual({ woken: 1, crashed: 0, overdue: 0 });
    expect(world.queue.wakeUps).toEqual([`${id}#1 wrk_1`]);
  });

  it('takes jobs from silent workers, which are fenced off', async () => {
    const attempt = await world.claimed();
    world.pass(30_000);
    expect(await mend()).toMatchObject({ crashed: 0 });
    world.pass(1);
    expect(await mend()).toMatchObject({ crashed: 1 });
    expect(world.job(attempt.jobId)).toMatchObject({ state: 'queued', epoch: 2 });
    expect(world.tables.outbox.at(-1)?.wakeUp).toEqual({ jobId: attempt.jobId, epoch: 2, workerId: null });
    expect(await reportHeartbeat(world, attempt)).toBe('fenced');
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
    expect(await mend()).toMatchObject({ crashed: 0 });
    expect(world.job(attempt.jobId).state).toBe('preparing');
  });

  it('deletes datasets that have expired, once no job needs them', async () => {
    const counted = { rows: 40, tokens: null, lossTokens: null, tokensOf: null };
    const file = { filename: 'gone.jsonl', bytes: 4000, sha256: 'e'.repeat(64) };
    const facts: DatasetFacts = { ...file, ...counted, format: 'chat' };
    const [idle, used] = [
      await addDataset(world, team, facts, 60),
      await addDataset(world, team, { ...facts, name: 'used' }, 60),
    ];
    const { id } = await world.submit({ dataset: used.id });
    const left = () => world.tables.datasets.map((dataset) => dataset.id).slice(1);
    world.pass(59_999);
    await mend();
    expect(left()).toEqual([idle.id, used.id]);
    world.pass(1);
    await mend();
    expect(left()).toEqual([used.id]);
    await cancelJob(world, team, id);
    await mend();
    expect(left()).toEqual([]);
  });

  it('ends jobs whose deadline has come: those that wait at once, those that run by a stop', async () => {
    const deadline = '2026-01-01T00:01:00Z';
    const waiting = await world.submit({ deadline });
    const paused = await world.submit({ deadline });
    await pauseJob(world, team, paused.id);
    const running = await world.submit({ deadline });
    const attempt = { jobId: running.id, epoch: 1 };
    await claimAttempt(world, attempt, 'wrk_1');
    world.pass(59_999);
    await reportHeartbeat(world, attempt);
    expect(await mend()).toMatchObject({ overdue: 0 });
    world.pass(1);
    expect(await mend()).toMatchObject({ overdue: 3 });
    for (const { id } of [waiting, paused])
      expect(world.job(id)).toMatchObject({
        state: 'failed',
        finishedAt: world.clock.now(),
        error: { code: 'deadline_exceeded' },
      });
    expect(await reportHeartbeat(world, attempt)).toBe('cancel');
    expect(await mend()).toMatchObject({ overdue: 0 });
    await endAttempt(world, attempt, { type: 'cancelled' });
    expect(world.job(running.id)).toMatchObject({ state: 'failed', error: { code: 'deadline_exceeded' } });
  });

  it('forgets workers that are gone for good, and their queues', async () => {
    const { id } = world.addWorker();
    world.pass(3_600_000);
    expect(await mend().then(() => world.queue.forgotten)).toEqual([]);
    world.pass(1);
    await mend();
    expect(world.queue.forgotten).toEqual([id]);
    expect(world.tables.workers).toEqual([]);
  });
});

describe('drainWorker', () => {
  it('marks a worker and tells how many jobs it has', async () => {
    const { id } = world.addWorker({ slots: 2 });
    world.addWorker({ hostname: 'bravo' });
    await world.submit();
    await schedule();
    expect(await drainWorker(world, id, 'finish')).toMatchObject({ id, drain: 'finish', busy: 1 });
    expect(await listWorkers(world, before(world.clock.now(), 1000))).toMatchObject([
      { hostname: 'alfa', drain: 'finish', busy: 1 },
      { hostname: 'bravo', drain: null, busy: 0 },
    ]);
    expect(await drainWorker(world, id, null)).toMatchObject({ drain: null });
    await expect(drainWorker(world, 'wrk_none', 'finish')).rejects.toMatchObject({ code: 'not_found' });
  });
});
