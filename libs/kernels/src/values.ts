import { KernelError } from './errors';

/** A whole number that fits uint32_t; koffi would wrap others silently. */
export function uint32(name: string, value: number, call: string): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new KernelError(
      'invalid_argument',
      `${name} is ${value}; it has to be a whole number from 0 to 2^32 - 1`,
      call,
    );
  }
  return value;
}

/** A seed as uint64_t. */
export function uint64(name: string, value: bigint, call: string): bigint {
  if (typeof value !== 'bigint' || value < 0n || value !== BigInt.asUintN(64, value)) {
    throw new KernelError(
      'invalid_argument',
      `${name} is ${value}; it has to be a bigint from 0 to 2^64 - 1`,
      call,
    );
  }
  return value;
}
