/** Names of lr_status, in order. */
export const KERNEL_STATUS = [
  'ok',
  'invalid_argument',
  'out_of_memory',
  'io_error',
  'bad_format',
  'unsupported_model',
  'cancelled',
  'not_finite',
  'internal',
  'device_failed',
] as const;

export type KernelStatus = (typeof KERNEL_STATUS)[number];

/** A native call failed; `message` is the library's own, `status` its stable name. */
export class KernelError extends Error {
  constructor(
    readonly status: Exclude<KernelStatus, 'ok'>,
    message: string,
    readonly call: string,
  ) {
    super(message === '' ? `${call}: ${status}` : message);
    this.name = 'KernelError';
  }
}
