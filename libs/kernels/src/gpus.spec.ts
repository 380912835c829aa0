import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGpus } from './gpus';

// A driver with two GPUs, of which the second does not say how busy and how warm it is. It is a library of its own: what is checked
// is that ours finds functions, passes arguments and reads structures as nvml.h has them.
const DRIVER = `
#include <stdio.h>
#include <string.h>
typedef struct { unsigned index; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
static struct { unsigned index; } devices[2] = {{0}, {1}};
static int started;
int nvmlInit_v2(void) { ++started; return STATUS; }
int nvmlShutdown(void) { --started; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return started == 1 ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) { *device = (nvmlDevice_t)&devices[index]; return 0; }
int nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length) { snprintf(name, length, "GPU of %u", device->index); return 0; }
int nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) { snprintf(uuid, length, "GPU-%u", device->index); return 0; }
int nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor) { *major = 8 + device->index; *minor = 6; return 0; }
int nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  memory->total = 80ull << 30;
  memory->used = (5ull << 30) + device->index;
  memory->free = memory->total - memory->used;
  return 0;
}
int nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) { rates->gpu = 37; return device->index == 0 ? 0 : 3; }
int nvmlDeviceGetTemperature(nvmlDevice_t device, int sensor, unsigned *degrees) {
  *degrees = 54;
  return sensor == 0 && device->index == 0 ? 0 : 3;
}
`;

describe('readGpus', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'gpus-'));
    writeFileSync(join(folder, 'driver.c'), DRIVER);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function driver(status: number): string {
    const library = join(folder, `driver-${status}.so`);
    execFileSync('gcc', ['-shared', '-fPIC', `-DSTATUS=${status}`, '-o', library, join(folder, 'driver.c')]);
    return library;
  }

  it('reads what the driver says, again and again', () => {
    const library = driver(0);
    const gpus = readGpus(library);
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
    expect(readGpus(library)).toEqual(gpus);
  });

  it('finds none without a driver, and says when there is one that does not start', () => {
    expect(readGpus(join(folder, 'nothing.so'))).toEqual([]);
    expect(readGpus(driver(9))).toEqual([]);
    expect(() => readGpus(driver(15))).toThrow(/error 15 of NVML/);
  });
});
