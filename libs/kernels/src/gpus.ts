import { KernelError } from './errors';
import { koffi, loadLibrary } from './koffi';

/** A GPU of this machine, as its driver describes it. */
export interface Gpu {
  /** Its number in the driver's order, which is that of CUDA_DEVICE_ORDER=PCI_BUS_ID. */
  index: number;
  /** "GPU-…": what CUDA_VISIBLE_DEVICES takes to choose it, whatever else the machine has. */
  uuid: string;
  name: string;
  /** "9.0" */
  computeCapability: string;
  /** bytes */
  memory: { total: number; used: number };
  /** Share of the last moments in which a kernel ran, 0 to 100; null where the driver does not say. */
  utilisationPercent: number | null;
  /** °C; null where the driver does not say. */
  temperature: number | null;
}

/** What the driver says of a machine's GPUs. */
export interface GpuReading {
  gpus: Gpu[];
  /** Those that it counts and says nothing of, such as one that has fallen off the bus, by their number in its order. */
  failing: { index: number; message: string }[];
}

// Of nvml.h, declared here: the driver brings the library, no toolkit is needed.
const LIBRARY = 'libnvidia-ml.so.1';
const SUCCESS = 0;
const DRIVER_NOT_LOADED = 9;
const TEMPERATURE_GPU = 0;
const TEXT = 96; // bytes; NVML_DEVICE_NAME_V2_BUFFER_SIZE

const device = koffi.pointer(koffi.opaque());
const memoryInfo = koffi.struct({ total: 'uint64_t', free: 'uint64_t', used: 'uint64_t' });
const utilisation = koffi.struct({ gpu: 'uint32_t', memory: 'uint32_t' });

const SIGNATURES = {
  nvmlInit_v2: [],
  nvmlShutdown: [],
  nvmlDeviceGetCount_v2: [koffi.out(koffi.pointer('uint32_t'))],
  nvmlDeviceGetHandleByIndex_v2: ['uint32_t', koffi.out(koffi.pointer(device))],
  nvmlDeviceGetName: [device, 'char *', 'uint32_t'],
  nvmlDeviceGetUUID: [device, 'char *', 'uint32_t'],
  nvmlDeviceGetCudaComputeCapability: [
    device,
    koffi.out(koffi.pointer('int32_t')),
    koffi.out(koffi.pointer('int32_t')),
  ],
  nvmlDeviceGetMemoryInfo: [device, koffi.out(koffi.pointer(memoryInfo))],
  nvmlDeviceGetUtilizationRates: [device, koffi.out(koffi.pointer(utilisation))],
  nvmlDeviceGetTemperature: [device, 'uint32_t', koffi.out(koffi.pointer('uint32_t'))],
} as const;
type Call = keyof typeof SIGNATURES;

class Nvml {
  private readonly functions: Record<Call, (...args: unknown[]) => number>;

  constructor(library: string) {
    const loaded = loadLibrary(library);
    this.functions = Object.fromEntries(
      Object.entries(SIGNATURES).map(([name, parameters]) => [
        name,
        loaded.func(name, 'int32_t', [...parameters]),
      ]),
    ) as unknown as Record<Call, (...args: unknown[]) => number>;
  }

  /** NVML's status. */
  call(name: Call, ...args: unknown[]): number {
    return this.functions[name](...args);
  }

  /** Throws KernelError(device_failed) unless the call succeeds. */
  must(name: Call, ...args: unknown[]): void {
    const status = this.call(name, ...args);
    if (status !== SUCCESS)
      throw new KernelError(
        'device_failed',
        `the GPU's driver answered ${name} with error ${status} of NVML`,
        name,
      );
  }

  text(name: Call, handle: unknown): string {
    const bytes = Buffer.alloc(TEXT);
    this.must(name, handle, bytes, TEXT);
    return bytes.toString('utf8', 0, bytes.indexOf(0));
  }
}

function read(nvml: Nvml, index: number): Gpu {
  const handle: [unknown] = [null];
  nvml.must('nvmlDeviceGetHandleByIndex_v2', index, handle);
  const major: [number] = [0];
  const minor: [number] = [0];
  nvml.must('nvmlDeviceGetCudaComputeCapability', handle[0], major, minor);
  const memory: { total?: number | bigint; used?: number | bigint } = {};
  nvml.must('nvmlDeviceGetMemoryInfo', handle[0], memory);
  const rates: { gpu?: number } = {};
  const busy = nvml.call('nvmlDeviceGetUtilizationRates', handle[0], rates);
  const degrees: [number] = [0];
  const warm = nvml.call('nvmlDeviceGetTemperature', handle[0], TEMPERATURE_GPU, degrees);
  return {
    index,
    uuid: nvml.text('nvmlDeviceGetUUID', handle[0]),
    name: nvml.text('nvmlDeviceGetName', handle[0]),
    computeCapability: `${major[0]}.${minor[0]}`,
    memory: { total: Number(memory.total), used: Number(memory.used) },
    utilisationPercent: busy === SUCCESS ? Number(rates.gpu) : null,
    temperature: warm === SUCCESS ? degrees[0] : null,
  };
}

/**
 * The GPUs of this machine, in the driver's order; none where it has no driver. It takes a few milliseconds, and as long as it likes when
 * the driver is in trouble.
 * `library`: the driver's NVML. Throws KernelError(device_failed) when the driver is there and does not answer.
 */
export function readGpus(library: string = LIBRARY): GpuReading {
  let nvml: Nvml;
  try {
    nvml = new Nvml(library);
  } catch {
    return { gpus: [], failing: [] }; // no driver
  }
  const started = nvml.call('nvmlInit_v2');
  if (started === DRIVER_NOT_LOADED) return { gpus: [], failing: [] };
  if (started !== SUCCESS)
    throw new KernelError(
      'device_failed',
      `the GPU's driver does not start: error ${started} of NVML`,
      'nvmlInit_v2',
    );
  try {
    const count: [number] = [0];
    nvml.must('nvmlDeviceGetCount_v2', count);
    const reading: GpuReading = { gpus: [], failing: [] };
    for (let index = 0; index < count[0]; index += 1) {
      try {
        reading.gpus.push(read(nvml, index));
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        reading.failing.push({ index, message: error.message });
      }
    }
    return reading;
  } finally {
    nvml.call('nvmlShutdown');
  }
}
