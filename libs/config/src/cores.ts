import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const sysfs = '/sys/devices/system/cpu';

/**
 * Cores this process can use: two hardware threads of one core count once, as the kernels keep its multipliers busy with one. Never
 * more than Node may run on; where the system does not tell about cores, that many.
 */
export function usableCores(folder = sysfs, hardwareThreads = availableParallelism()): number {
  const cores = new Set<string>();
  try {
    for (const cpu of listed(readFileSync(`${folder}/online`, 'utf8'))) {
      const said = (what: string) => readFileSync(`${folder}/cpu${cpu}/topology/${what}`, 'utf8').trim();
      cores.add(`${said('physical_package_id')}:${said('core_id')}`);
    }
  } catch {
    return hardwareThreads;
  }
  return Math.max(1, Math.min(cores.size, hardwareThreads));
}

/** The numbers of a list as Linux writes them: '0-3,8' is 0, 1, 2, 3, 8. */
function listed(text: string): number[] {
  return text
    .trim()
    .split(',')
    .flatMap((range) => {
      const [first, last = first] = range.split('-').map(Number);
      return Array.from({ length: last! - first! + 1 }, (_, i) => first! + i);
    });
}
