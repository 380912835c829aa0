export type * from './types';
export { KernelError, type KernelStatus } from './errors';
export { openKernels } from './open';
export { readGpus, type Gpu } from './gpus';
