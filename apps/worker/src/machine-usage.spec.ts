import { machineUsageSchema } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { availableOf, measureMachine, type ProcessorTimes } from './machine-usage';

const measured = (...looks: ProcessorTimes[]) => {
  const left = [...looks];
  const look = measureMachine({
    processors: () => left.shift() as ProcessorTimes,
    memory: () => ({ total: 100, available: 30 }),
  });
  return looks.map(() => look()).map(({ utilisation }) => utilisation);
};

describe('measureMachine', () => {
  it('tells the share of time that processors computed since the look before', () => {
    const shares = measured(
      { busy: 100, total: 1000 },
      { busy: 200, total: 1400 },
      { busy: 600, total: 1800 },
      { busy: 600, total: 2000 },
    );
    expect(shares).toEqual([null, 0.25, 1, 0]);
  });

  it('knows none where no time has passed, and stays between 0 and 1 where clocks are adjusted', () => {
    expect(measured({ busy: 1, total: 2 }, { busy: 1, total: 2 })).toEqual([null, null]);
    expect(measured({ busy: 5, total: 10 }, { busy: 4, total: 20 })).toEqual([null, 0]);
  });

  it('tells the memory that is not to be had', () => {
    const look = measureMachine({
      processors: () => ({ busy: 0, total: 1 }),
      memory: () => ({ total: 100, available: 30 }),
    });
    expect(look()).toMatchObject({ memoryUsedBytes: 70, memoryTotalBytes: 100 });
  });

  it('reads this machine', async () => {
    const look = measureMachine();
    look();
    await sleep(50);
    const usage = machineUsageSchema.omit({ devices: true }).parse(look());
    expect(usage.memoryUsedBytes).toBeGreaterThan(2 ** 20);
    expect(usage.memoryTotalBytes).toBeGreaterThan(usage.memoryUsedBytes);
  });
});

it('finds what Linux says is available', () => {
  expect(availableOf('MemTotal:  8 kB\nMemAvailable:    3 kB\n')).toBe(3072);
  expect(availableOf('MemTotal:  8 kB\n')).toBeNull();
});
