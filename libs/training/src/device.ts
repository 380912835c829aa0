import { LowrankError } from '@lowrank/contracts';
import { KernelError, openKernels, type KernelOptions, type Kernels } from '@lowrank/kernels';

/** Throws LowrankError device_failed: without kernels that start, a machine can train nothing, whatever the job. */
export function openDevice(options: KernelOptions): Kernels {
  try {
    return openKernels(options);
  } catch (error) {
    if (error instanceof KernelError && error.status === 'out_of_memory') throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new LowrankError('device_failed', `the kernel library does not start: ${reason}`, undefined, {
      cause: error,
    });
  }
}
