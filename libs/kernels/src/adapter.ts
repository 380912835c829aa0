import { type Context, type Handle, readJson } from './context';
import { KernelError } from './errors';
import { groupHandleOf } from './group';
import type { Adapter, AdapterSpec, AdapterTensor } from './types';
import { uint32, uint64 } from './values';

const KINDS = { weight: 0, gradient: 1 } as const; // lr_tensor_kind
const BIASES = { none: 0, lora_only: 1, all: 2 } as const; // lr_bias
const OPTIMIZERS = { adamw: 0, adamw8bit: 1 } as const; // lr_optimizer

const handles = new WeakMap<Adapter, Handle>();

/** The native handle behind an adapter made by createAdapter. */
export function handleOf(adapter: Adapter): Handle {
  const handle = handles.get(adapter);
  if (handle === undefined)
    throw new KernelError(
      'invalid_argument',
      'this adapter was not made by createAdapter of a base',
      'adapter',
    );
  return handle;
}

/** The tensors of lr_adapter_info; vectors lose their second dimension of 1. */
function tensorsOf(context: Context, handle: Handle): AdapterTensor[] {
  const { tensors } = readJson(context, 'lr_adapter_info', handle) as {
    tensors: (Omit<AdapterTensor, 'shape'> & { rows: number; cols: number })[];
  };
  return tensors.map(({ module, role, rows, cols, dtype }) => ({
    module,
    role,
    shape: role === 'bias' || role === 'lora_magnitude_vector' ? [rows] : [rows, cols],
    dtype,
  }));
}

const elements = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** A new adapter over a base. Throws KernelError: invalid_argument for unknown targets, ranks, dropout, methods that exclude each other. */
export function createAdapter(context: Context, base: Handle, spec: AdapterSpec): Adapter {
  const call = 'lr_adapter_create';
  const targets = spec.targets.map(({ name, rank, scale, dora = false, bf16 = false }) => ({
    name,
    rank: uint32(`rank of ${name}`, rank, call),
    scale,
    dora: dora ? 1 : 0,
    bf16: bf16 ? 1 : 0,
  }));
  const { init = 'default' } = spec;
  const options = {
    dropout: spec.dropout ?? 0,
    bias: BIASES[spec.bias ?? 'none'],
    optimizer: OPTIMIZERS[spec.optimizer ?? 'adamw'],
    init: init === 'default' ? 0 : 1, // lr_init
    init_iterations: uint32('iterations', init === 'default' ? 0 : init.pissa.iterations, call),
    seed: uint64('seed', spec.seed ?? 0n, call),
  };
  const handle = context.create(
    call,
    'lr_adapter_destroy',
    'adapter',
    [base],
    base.open(call),
    targets,
    targets.length,
    options,
  );
  const tensors = tensorsOf(context, handle);

  const adapter: Adapter = {
    tensors,
    read(index, kind = 'weight', into) {
      const values = into ?? new Float32Array(elements(tensors[index]?.shape ?? [0]));
      const pointer = handle.idle('lr_adapter_read');
      context.sync(
        'lr_adapter_read',
        pointer,
        KINDS[kind],
        uint32('index', index, 'lr_adapter_read'),
        values,
        values.length,
      );
      return values;
    },
    write(index, values) {
      const pointer = handle.idle('lr_adapter_write');
      context.sync(
        'lr_adapter_write',
        pointer,
        KINDS.weight,
        uint32('index', index, 'lr_adapter_write'),
        values,
        values.length,
      );
    },
    zeroGradients: () => context.sync('lr_adapter_zero_gradients', handle.idle('lr_adapter_zero_gradients')),
    async optimizerStep(settings) {
      const norm = new Float32Array(1);
      const native = {
        learning_rate: settings.learningRate,
        beta1: settings.beta1,
        beta2: settings.beta2,
        epsilon: settings.epsilon,
        weight_decay: settings.weightDecay,
        max_grad_norm: settings.maxGradNorm,
        b_rate_ratio: settings.bRateRatio ?? 1,
      };
      const pointer = handle.open('lr_adapter_optimizer_step');
      const status = await context.run('lr_adapter_optimizer_step', {
        uses: [handle],
        args: () => [pointer, native, norm],
        accept: 'not_finite',
      });
      return status === 'ok'
        ? { gradNorm: norm[0] as number, applied: true }
        : { gradNorm: NaN, applied: false };
    },
    async sumGradients(group, last, { signal } = {}) {
      const call = 'lr_adapter_sum_gradients';
      const others = groupHandleOf(group);
      const [pointer, groupPointer] = [handle.open(call), others.open(call)];
      await context.run(call, {
        signal,
        uses: [handle, others],
        args: (cancel) => [pointer, groupPointer, last ? 1 : 0, cancel],
      });
    },
    exportState(into) {
      const size = new BigUint64Array(1);
      context.sync('lr_adapter_state_size', handle.idle('lr_adapter_state_size'), size);
      const state = into?.length === Number(size[0]) ? into : new Uint8Array(Number(size[0]));
      context.sync('lr_adapter_state_export', handle.idle('lr_adapter_state_export'), state, state.length);
      return state;
    },
    importState(state) {
      context.sync('lr_adapter_state_import', handle.idle('lr_adapter_state_import'), state, state.length);
    },
    close: () => handle.close(),
  };
  handles.set(adapter, handle);
  return adapter;
}
