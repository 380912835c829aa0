import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

// The driver's library at the product's edge: a real shared library with the functions of nvml.h that the product calls. It has two GPUs,
// of which the second does not say how busy and how warm it is. A file `state` beside it names GPUs that are lost, by their numbers; with
// `driver` in it, the driver answers nothing any more.
const source = `
#include <stdio.h>
#include <string.h>
typedef struct { unsigned index; } *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned gpu, memory; } nvmlUtilization_t;
static struct { unsigned index; } devices[2] = {{0}, {1}};
static int started;
static int says(const char *what) {
  char text[64] = "";
  FILE *file = fopen(STATE, "r");
  if (!file) return 0;
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  return strstr(text, what) != 0;
}
int nvmlInit_v2(void) { ++started; return says("driver") ? 999 : STATUS; }
int nvmlShutdown(void) { --started; return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return started == 1 ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
  char number[2] = {(char)('0' + index), 0};
  *device = (nvmlDevice_t)&devices[index];
  return says(number) ? 15 : 0;
}
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

/** Compiles that library into a folder, by the name that the driver's has. `status`: what it answers when it is started. Returns its path. */
export function buildGpuDriver(folder: string, { status = 0 } = {}): string {
  const program = join(folder, 'driver.c');
  // The loader keeps what it has by name, so that each status has a folder of its own where a test wants several.
  const library = join(folder, status === 0 ? 'libnvidia-ml.so.1' : `driver-${status}.so`);
  writeFileSync(program, source);
  const state = `-DSTATE="${join(folder, 'state')}"`;
  execFileSync('gcc', ['-shared', '-fPIC', `-DSTATUS=${status}`, state, '-o', library, program]);
  return library;
}
