import { type MachineUsage } from '@lowrank/contracts';
import { readFileSync } from 'node:fs';
import { cpus, totalmem, freemem } from 'node:os';

/** Time of all processors since the machine began, milliseconds. */
export interface ProcessorTimes {
  busy: number;
  total: number;
}

/** What of the machine a look reads; tests hand in their own. */
export interface Machine {
  processors(): ProcessorTimes;
  memory(): { total: number; available: number };
}

/**
 * Bytes that could be had without swapping: Linux' `MemAvailable` (https://www.kernel.org/doc/html/latest/filesystems/proc.html), which
 * counts caches that would be given up; null where there is none.
 */
export function availableOf(meminfo: string): number | null {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kibibytes === undefined ? null : Number(kibibytes) * 1024;
}

const thisMachine: Machine = {
  processors() {
    const times = cpus().map((cpu) => cpu.times);
    const total = times.reduce((sum, one) => sum + one.user + one.nice + one.sys + one.idle + one.irq, 0);
    return { total, busy: total - times.reduce((sum, one) => sum + one.idle, 0) };
  },
  memory() {
    const meminfo = process.platform === 'linux' ? readFileSync('/proc/meminfo', 'utf8') : '';
    return { total: totalmem(), available: availableOf(meminfo) ?? freemem() };
  },
};

/** A look at how busy the machine has been since the look before; the first one knows no utilisation yet. */
export function measureMachine(machine: Machine = thisMachine): () => Omit<MachineUsage, 'devices'> {
  let last: ProcessorTimes | null = null;
  return () => {
    const now = machine.processors();
    const spent = last === null ? 0 : now.total - last.total;
    const share = last === null || spent <= 0 ? null : (now.busy - last.busy) / spent;
    last = now;
    const { total, available } = machine.memory();
    return {
      utilisation: share === null ? null : Math.round(Math.min(1, Math.max(0, share)) * 1000) / 1000,
      memoryUsedBytes: Math.max(0, total - available),
      memoryTotalBytes: total,
    };
  };
}
