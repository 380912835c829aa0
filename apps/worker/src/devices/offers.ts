import { type Config } from '@lowrank/config';
import { type GpuFacts, type GpuReport, LowrankError } from '@lowrank/contracts';

/**
 * What a worker offers: a device with its slots. A process has a worker for each of its GPUs, or of the groups of them that train together, or
 * one for its processors.
 */
export interface Offer {
  /** What it computes with, e.g. `cpu AMD EPYC`. */
  device: string;
  deviceClass: string;
  /** Of each GPU: every one of a group has the whole model. */
  memoryBytes: number;
  slots: number;
  /** Of all its slots together. */
  threads: number;
  /** Those that a trainer computes on together; none: it computes on the processors. */
  gpus: readonly GpuFacts[];
}

/** The machine that the GPUs are in. */
export interface Host {
  processor: string;
  memoryBytes: number;
}

export type Wishes = Pick<Config, 'gpus' | 'deviceClass' | 'memoryBytes' | 'slots' | 'threads'>;

/** The kernels are compiled for this and what comes after it. */
const leastCapability = 8;

/**
 * What the process offers, by what is wished and what GPUs there are, and what somebody should know about it. `report`: of the machine's
 * GPUs; null where nobody wants to know.
 * Error: validation_failed where GPUs are wished that are not there or cannot be used.
 */
export function offersOf(
  wishes: Wishes,
  report: GpuReport | null,
  host: Host,
): { offers: Offer[]; warnings: string[] } {
  const { gpus: wish, slots } = wishes;
  const { usable, warnings } = usableGpus(report);
  const chosen =
    typeof wish === 'string'
      ? usable.map((gpu) => [gpu])
      : wish.map((names) => group(usable, names, warnings));
  assertEachOnce(chosen.flat(), warnings);
  if (wish === 'all' && chosen.length === 0) throw noGpus(warnings);
  if (chosen.length === 0) {
    const { deviceClass, memoryBytes, threads } = wishes;
    const offer = {
      ...{ device: `cpu ${host.processor}`, deviceClass: deviceClass ?? 'cpu', slots, threads, gpus: [] },
      memoryBytes: memoryBytes ?? host.memoryBytes,
    };
    return { offers: [offer], warnings: warnings.map((warning) => `${warning}; it trains on the CPU`) };
  }
  const threads = Math.max(1, Math.floor(wishes.threads / chosen.length));
  const offers = chosen.map((gpus) => ({
    ...{ device: deviceOf(gpus), slots, threads, gpus },
    deviceClass: wishes.deviceClass ?? classOfGroup(gpus),
    memoryBytes: wishes.memoryBytes ?? Math.min(...gpus.map(({ memory }) => memory.total)),
  }));
  return { offers, warnings };
}

const namesOf = (gpus: readonly GpuFacts[]): string[] => [...new Set(gpus.map(({ name }) => name))];

/** `NVIDIA H100 80GB HBM3 GPU-5a6c`, `2 × NVIDIA H100 80GB HBM3 GPU-5a6c+GPU-77aa` */
function deviceOf(gpus: readonly GpuFacts[]): string {
  const count = gpus.length > 1 ? `${gpus.length} × ` : '';
  return `${count}${namesOf(gpus).join(' and ')} ${gpus.map(({ uuid }) => uuid).join('+')}`;
}

/** `h100-80gb-hbm3`, `2x-h100-80gb-hbm3` */
const classOfGroup = (gpus: readonly GpuFacts[]): string =>
  gpus.length > 1 ? `${gpus.length}x-${classOf(gpus[0] as GpuFacts)}` : classOf(gpus[0] as GpuFacts);

/** GPUs with a + between their names. They have to compute to the same bytes: different kinds do not. */
function group(usable: GpuFacts[], names: string, warnings: string[]): GpuFacts[] {
  const gpus = names.split('+').map((name) => named(usable, name, warnings));
  const kinds = namesOf(gpus);
  if (kinds.length === 1) return gpus;
  throw unusable(`LOWRANK_GPUS has ${names} train together, which are ${kinds.join(' and ')}.`, warnings);
}

function assertEachOnce(gpus: readonly GpuFacts[], warnings: string[]): void {
  const twice = gpus.find((gpu, i) => gpus.indexOf(gpu) < i);
  if (twice) throw unusable(`LOWRANK_GPUS names GPU ${twice.index} (${twice.uuid}) twice.`, warnings);
}

function usableGpus(report: GpuReport | null): { usable: GpuFacts[]; warnings: string[] } {
  const { gpus, failing, problem } = report ?? { gpus: [], failing: [], problem: null };
  if (problem !== null) {
    const count = gpus.length === 0 ? 'GPUs' : `${gpus.length} GPU(s)`;
    return { usable: [], warnings: [`${count} cannot be used: ${problem}`] };
  }
  const warnings = failing.map(({ index, message }) => `GPU ${index} cannot be used: ${message}`);
  const isOld = ({ computeCapability }: GpuFacts) => Number.parseFloat(computeCapability) < leastCapability;
  for (const { index, name, computeCapability } of gpus.filter(isOld))
    warnings.push(
      `GPU ${index} (${name}) cannot be used: its compute capability is ${computeCapability}, ${leastCapability}.0 is needed`,
    );
  return { usable: gpus.filter((gpu) => !isOld(gpu)), warnings };
}

function named(usable: GpuFacts[], name: string, warnings: string[]): GpuFacts {
  const gpu = usable.find(({ index, uuid }) => name === uuid || name === String(index));
  if (gpu !== undefined) return gpu;
  const there = usable.map(({ index, uuid }) => `${index} (${uuid})`).join(', ') || 'none';
  throw unusable(`LOWRANK_GPUS names ${name}; those that can be used: ${there}.`, warnings);
}

const noGpus = (warnings: string[]): LowrankError =>
  unusable('LOWRANK_GPUS is all, but there is no GPU that can be used.', warnings);

const unusable = (message: string, warnings: string[]): LowrankError =>
  new LowrankError('validation_failed', [message, ...warnings.map((one) => `${one}.`)].join(' '), undefined, {
    help: 'Look at what nvidia-smi says; LOWRANK_GPUS=auto trains on the processors where there are no GPUs.',
  });

/** `NVIDIA H100 80GB HBM3` → `h100-80gb-hbm3`, `NVIDIA GeForce RTX 4090` → `rtx-4090`; without a name by its compute capability. */
export function classOf({ name, computeCapability }: Pick<GpuFacts, 'name' | 'computeCapability'>): string {
  const words = name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => !['', 'nvidia', 'geforce', 'tesla', 'quadro', 'graphics'].includes(word));
  const joined = words.join('-').slice(0, 40).replace(/-$/, '');
  return joined === '' ? `sm-${computeCapability.replace('.', '')}` : joined;
}

/** What makes a trainer compute on an offer's device, and on no other. */
export function environmentOf({ gpus: [first, ...others] }: Offer): NodeJS.ProcessEnv {
  if (first === undefined) return { LOWRANK_DEVICE: 'cpu' };
  const all = [first, ...others].map(({ uuid }) => uuid).join();
  return {
    LOWRANK_DEVICE: 'cuda',
    CUDA_VISIBLE_DEVICES: first.uuid,
    ...(others.length > 0 && { LOWRANK_RANKS: all }),
  };
}
