import { type AdapterVersion, sharedQueueName } from '@lowrank/contracts';
import { cancelJob, drainWorker, locks, pauseJob, type Ports, resumeJob } from '@lowrank/domain';
import { childrenOf } from '@lowrank/testing';
import { createPostgresBackend, withBackend } from 'bullmq';
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { defaultTimings } from './settings';
import { type Machines, startMachines, until, weightsOf } from './test/machines';

/** Many, and fast: what is seen of a run in Postgres lags behind it. */
const steps = 800;

/** A worker process with real trainers, on real Postgres, as `lowrank up` starts them. */
describe('worker', () => {
  let machines: Machines;
  let ports: Ports;
  let worker: ChildProcess;

  beforeAll(async () => {
    machines = await startMachines(steps);
    ports = machines.ports;
  }, 120_000);
  afterAll(() => machines.end(), 120_000);

  const submit: Machines['submit'] = (overrides) => machines.submit(overrides);
  const record: Machines['record'] = (id) => machines.record(id);
  const trained: Machines['trained'] = (id, more) => machines.trained(id, more);
  const published: Machines['published'] = (submitted) => machines.published(submitted);

  /** Does `work` while trainers stand still: on a fast machine they would be done before anybody asks them to stop. */
  async function frozen<T>(work: () => Promise<T>): Promise<T> {
    const trainers = await childrenOf(worker.pid as number);
    for (const pid of trainers) process.kill(pid, 'SIGSTOP');
    try {
      return await work();
    } finally {
      for (const pid of trainers) process.kill(pid, 'SIGCONT');
    }
  }

  let undisturbed: AdapterVersion;
  let losses: string[];

  it('trains what is submitted and publishes it', async () => {
    worker = machines.startWorker('alfa');
    const submitted = await submit();
    const { job } = submitted;
    undisturbed = await published(submitted);
    losses = await machines.lossesOf(job.id);
    expect(losses.filter((line) => line.startsWith('train'))).toHaveLength(steps);
    const { evalLossBefore, evalLossAfter } = undisturbed.metrics;
    expect(evalLossAfter).toBeLessThan(evalLossBefore as number);
    const folder = join(machines.folderOf('alfa'), 'jobs', job.id);
    await until(async () => !existsSync(folder));
    expect(
      await ports.unitOfWork.run(({ workers }) => workers.seenSince('2000-01-01T00:00:00.000Z')),
    ).toEqual([expect.objectContaining({ slots: 1, device: expect.stringContaining('cpu') })]);
  }, 120_000);

  it('gives the same bytes when the trainer is killed at three random steps', async () => {
    const submitted = await submit();
    const { job } = submitted;
    for (const kill of [1, 2, 3]) {
      const from = (await record(job.id)).step;
      const step = from + 11 + Math.floor(Math.random() * 60);
      await until(async () => {
        const { epoch, step: now, state } = await record(job.id);
        if (state === 'succeeded') throw new Error(`the run ended before attempt ${kill} could be killed`);
        return epoch === kill && state === 'running' && now >= step;
      });
      for (const pid of await childrenOf(worker.pid as number)) process.kill(pid, 'SIGKILL');
      await until(async () => (await record(job.id)).epoch === kill + 1);
    }
    const version = await published(submitted);
    expect(weightsOf(version)).toBe(weightsOf(undisturbed));
    expect(await machines.lossesOf(job.id)).toEqual(losses);
    const messages = await machines.messagesOf(job.id);
    expect(messages.filter((message) => message.startsWith('Goes on from the checkpoint'))).toHaveLength(3);
    expect(worker.exitCode).toBeNull();
  }, 180_000);

  it('gives the same bytes when the job is paused twice and resumed', async () => {
    const submitted = await submit();
    const { job, teamId } = submitted;
    for (const epoch of [1, 2]) {
      await until(async () => (await record(job.id)).epoch === epoch);
      await trained(job.id, 3);
      await pauseJob(ports, teamId, job.id);
      await until(async () => (await record(job.id)).state === 'paused');
      const { step, checkpointStep, workerId } = await record(job.id);
      // Not the checkpoint of every tenth step: the one of the pause.
      expect({ checkpointStep, workerId }).toEqual({ checkpointStep: step, workerId: null });
      await resumeJob(ports, teamId, job.id);
    }
    expect(weightsOf(await published(submitted))).toBe(weightsOf(undisturbed));
    expect(await machines.lossesOf(job.id)).toEqual(losses);
  }, 180_000);

  it('cancels a job that trains while it trains, and its slot is free then', async () => {
    const { job, teamId } = await submit();
    await trained(job.id, 3);
    await cancelJob(ports, teamId, job.id);
    await until(async () => (await record(job.id)).state === 'cancelled');
    const { job: next } = await submit();
    await trained(next.id, 0);
    await cancelJob(ports, teamId, next.id);
  }, 60_000);

  it('hands its job on when somebody drains it, and takes it again when they let it', async () => {
    const submitted = await submit();
    const { job } = submitted;
    await trained(job.id, 3);
    const { workerId } = await record(job.id);
    await frozen(async () => {
      await drainWorker(ports, workerId as string, 'checkpoint');
      await sleep(1000 + defaultTimings.presence);
    });
    await until(async () => (await record(job.id)).state === 'queued');
    await sleep(1500);
    expect(await record(job.id)).toMatchObject({
      state: 'queued',
      epoch: 2,
      assignedTo: null,
      fruitlessAttempts: 0,
    });
    await drainWorker(ports, workerId as string, null);
    expect(weightsOf(await published(submitted))).toBe(weightsOf(undisturbed));
  }, 120_000);

  it('takes a slot from a job for one of higher priority, and both give the same bytes', async () => {
    const low = await submit();
    await trained(low.job.id, 3);
    const high = await frozen(async () => {
      const submitted = await submit({ priority: 10 });
      // As if the one had waited and the other had trained for long: only then a slot is asked for.
      const longAgo = new Date(Date.now() - 120_000).toISOString();
      await ports.unitOfWork.run(async ({ jobs }) => {
        await jobs.update(submitted.job.id, 1, { queuedAt: longAgo });
        await jobs.update(low.job.id, 1, { attemptStartedAt: longAgo });
      });
      await sleep(2 * (defaultTimings.schedule + defaultTimings.heartbeat));
      return submitted;
    });
    expect(weightsOf(await published(high))).toBe(weightsOf(undisturbed));
    expect((await record(low.job.id)).epoch).toBe(2);
    expect(weightsOf(await published(low))).toBe(weightsOf(undisturbed));
    expect(await machines.lossesOf(low.job.id)).toEqual(losses);
    const messages = (await machines.messagesOf(low.job.id)).join('\n');
    const [, at] = /Gave its slot back after step (\d+), to a job of higher priority/.exec(messages) ?? [];
    // Not the checkpoint of every tenth step: the one it wrote to leave.
    expect(messages).toContain(`Goes on from the checkpoint of step ${at} of ${steps}.`);
  }, 180_000);

  it('takes what a dispatcher of the release before put into the queue that all shared', async () => {
    worker.kill('SIGTERM');
    await once(worker, 'exit');
    // Whoever holds the lock is the dispatcher, and this one does nothing.
    const version = await ports.unitOfWork.exclusively(locks.dispatcher, async () => {
      worker = machines.startWorker('alfa');
      const submitted = await submit();
      const { job } = submitted;
      const queue = new (withBackend(createPostgresBackend).Queue)(sharedQueueName, {
        connection: {
          connectionString: machines.databaseUrl,
          schema: 'queue_lowrank',
          migrate: true,
          max: 1,
        },
      });
      await queue.add('wake-up', { jobId: job.id, epoch: 1 }, { jobId: `${job.id}-1` });
      await queue.close();
      return published(submitted);
    });
    expect(version && weightsOf(version)).toBe(weightsOf(undisturbed));
  }, 120_000);

  it('hands its job back when it is asked to leave, and the next worker goes on', async () => {
    const submitted = await submit();
    const { job } = submitted;
    await until(async () => (await record(job.id)).step >= 20);
    worker.kill('SIGTERM');
    expect((await once(worker, 'exit'))[0]).toBe(0);
    expect(await record(job.id)).toMatchObject({ state: 'queued', epoch: 2, fruitlessAttempts: 0 });
    worker = machines.startWorker('alfa');
    expect(weightsOf(await published(submitted))).toBe(weightsOf(undisturbed));
  }, 180_000);
});
