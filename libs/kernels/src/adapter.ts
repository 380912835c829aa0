import { type Context, type Handle } from './context';
import { KernelError } from './errors';
import type { Adapter, AdapterSpec, AdapterTensor, BaseInfo } from './types';
import { uint32, uint64 } from './values';

const KINDS = { weight: 0, gradient: 1 } as const; // lr_tensor_kind

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

function tensorsOf(spec: AdapterSpec, info: BaseInfo): AdapterTensor[] {
  const linears = new Map(info.linears.map((linear) => [linear.name, linear]));
  return spec.targets.flatMap(({ name, rank }) => {
    const linear = linears.get(name);
    if (linear === undefined)
      throw new KernelError('internal', `the base does not list ${name}`, 'lr_adapter_create');
    return [
      { module: name, matrix: 'lora_A' as const, shape: [rank, linear.in] as [number, number] },
      { module: name, matrix: 'lora_B' as const, shape: [linear.out, rank] as [number, number] },
    ];
  });
}

/** A new adapter over a base. Throws KernelError: invalid_argument for unknown targets, ranks, dropout. */
export function createAdapter(context: Context, base: Handle, info: BaseInfo, spec: AdapterSpec): Adapter {
  const call = 'lr_adapter_create';
  const targets = spec.targets.map(({ name, rank, scale }) => ({
    name,
    rank: uint32(`rank of ${name}`, rank, call),
    scale,
  }));
  const seed = uint64('seed', spec.seed, call);
  const handle = context.create(
    call,
    'lr_adapter_destroy',
    'adapter',
    [base],
    base.open(call),
    targets,
    targets.length,
    spec.dropout,
    seed,
  );
  const tensors = tensorsOf(spec, info);

  const adapter: Adapter = {
    tensors,
    read(index, kind = 'weight') {
      const shape = tensors[index]?.shape ?? [0, 0];
      const values = new Float32Array(shape[0] * shape[1]);
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
    exportState() {
      const size = new BigUint64Array(1);
      context.sync('lr_adapter_state_size', handle.idle('lr_adapter_state_size'), size);
      const state = new Uint8Array(Number(size[0]));
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
