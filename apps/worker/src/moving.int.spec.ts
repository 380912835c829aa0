import { type AdapterVersion } from '@lowrank/contracts';
import { cancelJob, type Ports } from '@lowrank/domain';
import { type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cutPower, type Machines, startMachines, until, weightsOf } from './test/machines';

const endpoint = process.env.TEST_S3_ENDPOINT ?? '';

/** Variables of a new bucket of the test server, which answers unsigned requests for buckets as moto does. */
async function newBucket(): Promise<NodeJS.ProcessEnv> {
  const bucket = `lowrank-moving-${randomUUID()}`;
  const { status } = await fetch(`${endpoint}/${bucket}`, { method: 'PUT' });
  expect(status).toBe(200);
  return { S3_ENDPOINT: endpoint, S3_BUCKET: bucket, S3_ACCESS_KEY_ID: 'test', S3_SECRET_ACCESS_KEY: 'test' };
}

const stores = [
  ['a folder that they share', async () => undefined],
  ...(endpoint ? [['S3', newBucket] as const] : []),
] as const;

describe.each(stores)(
  'a job that moves between machines that have nothing in common but %s',
  (_name, store) => {
    let machines: Machines;
    let ports: Ports;
    let undisturbed: AdapterVersion;
    let losses: string[];
    let alfa: ChildProcess;
    let bravo: ChildProcess;

    beforeAll(async () => {
      machines = await startMachines(400, await store());
      ports = machines.ports;
      alfa = machines.startWorker('alfa');
      const submitted = await machines.submit();
      undisturbed = await machines.published(submitted);
      losses = await machines.lossesOf(submitted.job.id);
      await nothingLeft(submitted.job.id);
    }, 300_000);
    afterAll(() => machines.end(), 300_000);

    const mirrored = async (id: string): Promise<string[]> => {
      const keys: string[] = [];
      for await (const key of machines.store.list(`checkpoints/${id}/`)) keys.push(key);
      return keys;
    };
    const nothingLeft = (id: string) => until(async () => (await mirrored(id)).length === 0);
    const isMirrored = (id: string, beyond: number) =>
      until(async () => (await machines.record(id)).mirroredStep > beyond);
    const goesOnFrom = async (id: string): Promise<number[]> =>
      (await machines.messagesOf(id)).flatMap((message) => {
        const [, step] = /^Goes on from the checkpoint of step (\d+) of/.exec(message) ?? [];
        return step === undefined ? [] : [Number(step)];
      });
    const leave = async (worker: ChildProcess) => {
      worker.kill('SIGTERM');
      expect((await once(worker, 'exit'))[0]).toBe(0);
    };
    const expectUndisturbed = async (submitted: Awaited<ReturnType<Machines['submit']>>) => {
      expect(weightsOf(await machines.published(submitted))).toBe(weightsOf(undisturbed));
      expect(await machines.lossesOf(submitted.job.id)).toEqual(losses);
      await nothingLeft(submitted.job.id);
    };

    it('goes on from the very step that it was at when its worker was asked to leave', async () => {
      const submitted = await machines.submit();
      const { id } = submitted.job;
      await machines.trained(id, 3);
      await leave(alfa);
      const left = await machines.record(id);
      expect(left).toMatchObject({ state: 'queued', fruitlessAttempts: 0 });
      expect({ checkpointStep: left.checkpointStep, mirroredStep: left.mirroredStep }).toEqual({
        checkpointStep: left.step,
        mirroredStep: left.step,
      });
      bravo = machines.startWorker('bravo');
      await expectUndisturbed(submitted);
      expect(await goesOnFrom(id)).toEqual([left.step]);
      // The worker that comes back finds what it left of a job that has ended elsewhere.
      expect(await readdir(join(machines.folderOf('alfa'), 'jobs'))).toEqual([id]);
      alfa = machines.startWorker('alfa');
      await until(async () => (await readdir(join(machines.folderOf('alfa'), 'jobs'))).length === 0);
      await leave(alfa);
    }, 300_000);

    it('goes on from the last checkpoint that was copied when its machine loses power', async () => {
      const submitted = await machines.submit();
      const { id } = submitted.job;
      await isMirrored(id, 20);
      await cutPower(bravo);
      const { mirroredStep, epoch } = await machines.record(id);
      // As if it had been silent for long.
      await ports.unitOfWork.run(({ jobs }) =>
        jobs.update(id, epoch, { heartbeatAt: new Date(0).toISOString() }),
      );
      alfa = machines.startWorker('alfa');
      await expectUndisturbed(submitted);
      const [from] = await goesOnFrom(id);
      expect(from).toBeGreaterThanOrEqual(mirroredStep);
      expect(mirroredStep).toBeGreaterThan(20);
    }, 300_000);

    it('passes over a damaged copy for the one before', async () => {
      const submitted = await machines.submit();
      const { id } = submitted.job;
      await isMirrored(id, 20);
      await leave(alfa);
      const states = (await mirrored(id)).filter((key) => key.endsWith('adapter.state'));
      expect(states).toHaveLength(2);
      const [before, newest] = states as [string, string];
      const bytes = (await machines.store.head(newest))?.bytes ?? 0;
      await machines.store.put(newest, Buffer.alloc(bytes), { bytes });
      bravo = machines.startWorker('bravo');
      await until(async () => (await goesOnFrom(id)).length === 1);
      expect(await goesOnFrom(id)).toEqual([Number(/step-(\d+)-/.exec(before)?.[1])]);
      await expectUndisturbed(submitted);
      const messages = (await machines.messagesOf(id)).join('\n');
      expect(messages).toContain(`${newest} is damaged`);
    }, 300_000);

    it('leaves nothing behind when it is cancelled, whether it runs or waits', async () => {
      const running = await machines.submit();
      await isMirrored(running.job.id, 0);
      await cancelJob(ports, running.teamId, running.job.id);
      await nothingLeft(running.job.id);
      const waiting = await machines.submit();
      await isMirrored(waiting.job.id, 0);
      await leave(bravo);
      expect((await mirrored(waiting.job.id)).length).toBeGreaterThan(0);
      await cancelJob(ports, waiting.teamId, waiting.job.id);
      bravo = machines.startWorker('bravo');
      await nothingLeft(waiting.job.id);
    }, 300_000);
  },
);
