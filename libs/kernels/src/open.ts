import { openBase } from './base';
import { Context } from './context';
import { KernelError } from './errors';
import type { Kernels, KernelInfo, KernelOptions } from './types';
import { uint32 } from './values';

const BACKENDS = ['fast', 'reference'] as const;
const ISAS = ['auto', 'scalar', 'avx2', 'avx512', 'avx512_bf16'] as const;
const COMPUTES = ['f32', 'bf16'] as const;

function indexOf<T extends string>(names: readonly T[], name: T, what: string): number {
  const index = names.indexOf(name);
  if (index < 0)
    throw new KernelError(
      'invalid_argument',
      `${what} '${name}' is not one of ${names.join(', ')}`,
      'lr_context_create',
    );
  return index;
}

function readInfo(context: Context): KernelInfo {
  const json = Buffer.alloc(512);
  context.sync('lr_context_info', context.handle.open('lr_context_info'), json, json.length);
  return JSON.parse(json.toString('utf8', 0, json.indexOf(0))) as KernelInfo;
}

/**
 * Loads the kernel library and starts a context in it.
 * Throws KernelError: io_error when the library is not built, invalid_argument for settings that this machine lacks.
 */
export function openKernels(options: KernelOptions = {}): Kernels {
  const context = new Context({
    threads: uint32('threads', options.threads ?? 0, 'lr_context_create'),
    backend: indexOf(BACKENDS, options.backend ?? 'fast', 'backend'),
    isa: indexOf(ISAS, options.isa ?? 'auto', 'isa'),
    compute: indexOf(COMPUTES, options.compute ?? 'f32', 'compute'),
  });
  const { handle } = context;
  return {
    info: Object.freeze(readInfo(context)),
    async quantizeBase(modelDir, file, { signal, onProgress } = {}) {
      // An error thrown by onProgress would be lost in the native call: it stops the call and is thrown after it.
      const failed = new AbortController();
      const report = (_user: unknown, done: number | bigint, total: number | bigint): void => {
        try {
          onProgress?.(Number(done), Number(total));
        } catch (error) {
          failed.abort(error);
        }
      };
      try {
        await context.run('lr_base_quantize', {
          signal: AbortSignal.any(signal ? [signal, failed.signal] : [failed.signal]),
          uses: [handle],
          args: (cancel) => [handle.open('lr_base_quantize'), modelDir, file, cancel, report, null],
        });
      } catch (error) {
        throw failed.signal.aborted ? failed.signal.reason : error;
      }
    },
    openBase: async (file) => openBase(context, file),
    nf4Quantize(values) {
      const n = values.length;
      const blocks = Math.ceil(n / 64);
      const codes = new Uint8Array(Math.ceil(n / 2));
      const absmaxCodes = new Uint8Array(blocks);
      const nestedAbsmax = new Float32Array(Math.ceil(blocks / 256));
      const offset = new Float32Array(1);
      context.syncTurn(
        'lr_nf4_quantize',
        handle.open('lr_nf4_quantize'),
        values,
        n,
        codes,
        absmaxCodes,
        nestedAbsmax,
        offset,
      );
      return { codes, absmaxCodes, nestedAbsmax, offset: offset[0] as number };
    },
    memory(resetPeak = false) {
      const current = new BigUint64Array(1);
      const peak = new BigUint64Array(1);
      context.sync('lr_context_memory', handle.open('lr_context_memory'), current, peak, resetPeak ? 1 : 0);
      return { currentBytes: Number(current[0]), peakBytes: Number(peak[0]) };
    },
    close: () => handle.close(),
  };
}
