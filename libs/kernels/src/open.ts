import { openBase } from './base';
import { Context } from './context';
import { KernelError } from './errors';
import { groupId, joinGroup } from './group';
import type { Kernels, KernelInfo, KernelOptions, Quantization, QuantizedMatrix } from './types';
import { uint32 } from './values';

const BACKENDS = ['fast', 'reference'] as const;
const ISAS = ['auto', 'scalar', 'avx2', 'avx512', 'avx512_bf16', 'amx_bf16'] as const;
const COMPUTES = ['f32', 'bf16'] as const;
const FORMATS = ['nf4', 'fp4', 'int8', 'bf16', 'f32'] as const;
const DEFAULT_QUANTIZATION: Quantization = { format: 'nf4', doubleQuantization: true };

function indexOf<T extends string>(names: readonly T[], name: T, what: string, call: string): number {
  const index = names.indexOf(name);
  if (index < 0)
    throw new KernelError('invalid_argument', `${what} '${name}' is not one of ${names.join(', ')}`, call);
  return index;
}

/** lr_quantization */
function nativeQuantization({ format, doubleQuantization }: Quantization, call: string): object {
  return {
    format: indexOf(FORMATS, format, 'format', call),
    double_quant: doubleQuantization ? 1 : 0,
  };
}

/** Memory for what lr_quantize writes: n values in blocks of 64 over the flattened matrix, or in rows. */
function emptyMatrix(n: number, rows: number, { format, doubleQuantization }: Quantization): QuantizedMatrix {
  if (format === 'int8') return { codes: new Uint8Array(n), absmax: new Float32Array(rows) };
  const codes = new Uint8Array(Math.ceil(n / 2));
  const blocks = Math.ceil(n / 64);
  if (!doubleQuantization) return { codes, absmax: new Float32Array(blocks) };
  return {
    codes,
    absmaxCodes: new Uint8Array(blocks),
    nestedAbsmax: new Float32Array(Math.ceil(blocks / 256)),
    offset: new Float32Array(1),
  };
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
    backend: indexOf(BACKENDS, options.backend ?? 'fast', 'backend', 'lr_context_create'),
    isa: indexOf(ISAS, options.isa ?? 'auto', 'isa', 'lr_context_create'),
    compute: indexOf(COMPUTES, options.compute ?? 'f32', 'compute', 'lr_context_create'),
  });
  const { handle } = context;
  return {
    info: Object.freeze(readInfo(context)),
    async quantizeBase(modelDir, file, { quantization = DEFAULT_QUANTIZATION, signal, onProgress } = {}) {
      const native = nativeQuantization(quantization, 'lr_base_quantize');
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
          args: (cancel) => [handle.open('lr_base_quantize'), modelDir, file, native, cancel, report, null],
        });
      } catch (error) {
        throw failed.signal.aborted ? failed.signal.reason : error;
      }
    },
    openBase: async (file) => openBase(context, file),
    quantize(values, rows, quantization) {
      const native = nativeQuantization(quantization, 'lr_quantize');
      const columns = values.length / rows;
      if (!Number.isInteger(columns))
        throw new KernelError(
          'invalid_argument',
          `${values.length} values are no ${rows} rows`,
          'lr_quantize',
        );
      const out = emptyMatrix(values.length, rows, quantization);
      context.syncTurn('lr_quantize', handle.open('lr_quantize'), native, values, rows, columns, {
        codes: out.codes,
        absmax: out.absmax ?? null,
        absmax_codes: out.absmaxCodes ?? null,
        nested_absmax: out.nestedAbsmax ?? null,
        offset: out.offset ?? null,
      });
      return out;
    },
    memory(resetPeak = false) {
      const current = new BigUint64Array(1);
      const peak = new BigUint64Array(1);
      context.sync('lr_context_memory', handle.open('lr_context_memory'), current, peak, resetPeak ? 1 : 0);
      return { currentBytes: Number(current[0]), peakBytes: Number(peak[0]) };
    },
    groupId: () => groupId(context),
    joinGroup: (id, rank, ranks) => joinGroup(context, id, rank, ranks),
    close: () => handle.close(),
  };
}
