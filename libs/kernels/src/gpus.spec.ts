import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGpus } from './gpus';
import { buildGpuDriver } from '@lowrank/testing';

describe('readGpus', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'gpus-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const driver = (status = 0) => buildGpuDriver(folder, { status });

  it('reads what the driver says, again and again', () => {
    const library = driver();
    const { gpus, failing } = readGpus(library);
    expect(failing).toEqual([]);
    expect(gpus).toEqual([
      {
        index: 0,
        uuid: 'GPU-0',
        name: 'GPU of 0',
        computeCapability: '8.6',
        memory: { total: 80 * 2 ** 30, used: 5 * 2 ** 30 },
        utilisationPercent: 37,
        temperature: 54,
      },
      {
        index: 1,
        uuid: 'GPU-1',
        name: 'GPU of 1',
        computeCapability: '9.6',
        memory: { total: 80 * 2 ** 30, used: 5 * 2 ** 30 + 1 },
        utilisationPercent: null,
        temperature: null,
      },
    ]);
    expect(readGpus(library)).toEqual({ gpus, failing });
  });

  it('finds none without a driver, and says when there is one that does not start', () => {
    const none = { gpus: [], failing: [] };
    expect(readGpus(join(folder, 'nothing.so'))).toEqual(none);
    expect(readGpus(driver(9))).toEqual(none);
    expect(() => readGpus(driver(15))).toThrow(/error 15 of NVML/);
  });

  it('tells of a GPU that is lost, and of the others all the same', () => {
    const library = driver();
    writeFileSync(join(folder, 'state'), '0');
    expect(readGpus(library)).toMatchObject({
      gpus: [{ index: 1, uuid: 'GPU-1' }],
      failing: [{ index: 0, message: expect.stringMatching(/nvmlDeviceGetHandleByIndex_v2.*error 15/) }],
    });
  });
});
