import { LowrankError, type ErrorCode } from '@lowrank/contracts';
import { KernelError, type KernelStatus } from '@lowrank/kernels';

const codes: Partial<Record<KernelStatus, ErrorCode>> = {
  out_of_memory: 'out_of_memory',
  not_finite: 'loss_not_finite',
  unsupported_model: 'base_model_unsupported',
  bad_format: 'base_model_invalid',
  device_failed: 'device_failed',
};

/** The public error for a failure of the kernel library; other errors come back as they are. */
export function publicError(error: unknown): unknown {
  if (!(error instanceof KernelError)) return error;
  return new LowrankError(codes[error.status] ?? 'internal', error.message, undefined, { cause: error });
}

/** Whether an error only says that the caller's signal stopped a call. */
export function isCancelled(error: unknown): boolean {
  return (
    (error instanceof KernelError && error.status === 'cancelled') ||
    (error instanceof Error && error.name === 'AbortError')
  );
}
