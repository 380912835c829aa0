import { createRequire } from 'node:module';
import type Koffi from 'koffi' with { 'resolution-mode': 'import' };

// koffi has a CommonJS entry but types of an ES module only.
export const koffi = createRequire(__filename)('koffi') as typeof Koffi;

const ASYNC_STACK = 1 << 20; // bytes

/** Loads a shared library by its path, or by a name that the system knows; throws koffi's Error where there is none. */
export function loadLibrary(path: string): ReturnType<typeof koffi.load> {
  // koffi runs async calls on stacks of its own, and the kernels' operations keep tiles there that its 128 KiB may not hold. The
  // setting belongs to the process and can be made before the first load only, whichever library that is.
  if ((koffi.config().async_stack_size ?? 0) < ASYNC_STACK) koffi.config({ async_stack_size: ASYNC_STACK });
  return koffi.load(path);
}
