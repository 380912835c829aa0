import { drainWorker, type WorkerRecord } from '@lowrank/domain';
import { buildGpuDriver, childrenOf } from '@lowrank/testing';
import { type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Machines, startMachines, until } from './test/machines';

const steps = 800;
const processorsLibrary = join(__dirname, '../../../libs/kernels/build/liblowrank_kernels.so');

/**
 * A worker process on a machine with two GPUs, with real trainers on real Postgres. What is not real is the driver's library, a shared
 * library made for the test, and that the kernels of these GPUs compute on the processors.
 */
describe('worker on GPUs', () => {
  let machines: Machines;
  let driver: string;
  let worker: ChildProcess;

  beforeAll(async () => {
    machines = await startMachines(steps);
    driver = await mkdtemp(join(tmpdir(), 'lowrank-driver-'));
    buildGpuDriver(driver);
    worker = machines.startWorker('alfa', {
      LD_LIBRARY_PATH: driver,
      LOWRANK_KERNELS_LIB: processorsLibrary,
    });
  }, 120_000);
  afterAll(async () => {
    await machines.end();
    await rm(driver, { recursive: true });
  }, 120_000);

  const rows = (): Promise<WorkerRecord[]> =>
    machines.ports.unitOfWork.run(({ workers }) => workers.seenSince('2000-01-01T00:00:00.000Z'));
  const rowOf = async (gpu: number): Promise<WorkerRecord> => {
    const found = (await rows()).find(({ device }) => device.endsWith(`GPU-${gpu}`));
    if (found === undefined) throw new Error(`no worker of GPU ${gpu}`);
    return found;
  };
  const gpuOf = async (id: string | null): Promise<number> => ((await rowOf(0)).id === id ? 0 : 1);
  /** What the driver says from now on: numbers of lost GPUs. */
  const lose = (what: string) => writeFile(join(driver, 'state'), what);

  it('offers each GPU as a worker, with its class, memory and load', async () => {
    expect(existsSync(processorsLibrary)).toBe(true);
    await until(async () => (await rows()).length === 2);
    expect(await rowOf(0)).toMatchObject({
      ...{ slots: 1, deviceClass: 'gpu-of-0', memoryBytes: 80 * 2 ** 30, drain: null, failure: null },
      usage: {
        devices: [
          {
            ...{ name: 'GPU of 0', utilisation: 0.37, temperature: 54 },
            ...{ memoryUsedBytes: 5 * 2 ** 30, memoryTotalBytes: 80 * 2 ** 30 },
          },
        ],
      },
    });
    expect(await rowOf(1)).toMatchObject({
      deviceClass: 'gpu-of-1',
      usage: { devices: [{ name: 'GPU of 1', utilisation: null, temperature: null }] },
    });
  }, 120_000);

  it('gives a trainer the GPU of its slot, and goes on elsewhere when that is lost', async () => {
    const submitted = await machines.submit({ placement: { memoryBytes: 70 * 2 ** 30 } });
    const { id } = submitted.job;
    await machines.trained(id, 3);
    const lost = await gpuOf((await machines.record(id)).workerId);
    const other = 1 - lost;
    const environments = await Promise.all(
      (await childrenOf(worker.pid as number)).map((pid) => readFile(`/proc/${pid}/environ`, 'utf8')),
    );
    const trainers = environments
      .map((text) => text.split('\0'))
      .filter((env) => env.includes('LOWRANK_DEVICE=cuda'));
    expect(trainers.length).toBeGreaterThan(0);
    for (const env of trainers)
      expect(env).toContainEqual(expect.stringMatching(/^CUDA_VISIBLE_DEVICES=GPU-[01]$/));
    expect(trainers.flat()).toContain(`CUDA_VISIBLE_DEVICES=GPU-${lost}`);

    await lose(String(lost));
    await machines.published(submitted);
    const job = await machines.record(id);
    expect(job).toMatchObject({ epoch: 2, fruitlessAttempts: 0 });
    expect((await machines.messagesOf(id)).join('\n')).toContain('Goes on from the checkpoint');
    expect(await rowOf(lost)).toMatchObject({
      drain: 'checkpoint',
      failure: { message: expect.stringMatching(new RegExp(`GPU-${lost} is gone: .*error 15`)) },
    });
    expect(await rowOf(other)).toMatchObject({ drain: null, failure: null });

    // Brought back too early it is drained again, and once the GPU is there it works.
    const { ports } = machines;
    const { id: drained } = await rowOf(lost);
    await drainWorker(ports, drained, null);
    await until(async () => (await rowOf(lost)).failure !== null);
    await lose('');
    const answers = async () => (await rowOf(lost)).usage?.devices.length === 1;
    await until(answers);
    await drainWorker(ports, drained, null);
    await machines.published(await machines.submit({ placement: { deviceClasses: [`gpu-of-${lost}`] } }));
    expect(await rowOf(lost)).toMatchObject({ drain: null, failure: null });
  }, 240_000);

  it('trains on while the driver answers nothing, and tells of no load', async () => {
    const submitted = await machines.submit();
    await machines.trained(submitted.job.id, 3);
    await lose('driver');
    await until(async () => (await rows()).every(({ usage }) => usage?.devices.length === 0));
    await machines.published(submitted);
    expect(await machines.record(submitted.job.id)).toMatchObject({ epoch: 1 });
    expect((await rows()).map(({ drain }) => drain)).toEqual([null, null]);
    await lose('');
  }, 240_000);
});
