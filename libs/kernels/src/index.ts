export type * from './types';
export { KernelError, type KernelStatus } from './errors';
export { openKernels } from './open';
export { readGpus, type Gpu, type GpuReading } from './gpus';
export { gpuLibrary } from './native';
