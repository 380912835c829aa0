import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { KernelError } from './errors';
import { readGpus } from './gpus';
import { koffi, loadLibrary } from './koffi';

/** LR_INTERFACE_VERSION of the header that this file was written against. */
const INTERFACE_VERSION = 5;
const LIBRARY = 'liblowrank_kernels.so';
/** The same interface, computed on a GPU. */
const CUDA_LIBRARY = 'liblowrank_cuda.so';

/** Address of an opaque handle. */
export type Pointer = bigint;

// Unnamed types throughout: koffi's names are global to the process and a second load would clash.
const handle = koffi.pointer(koffi.opaque());
const outHandle = koffi.out(koffi.pointer(handle));
const status = 'int32_t';
// koffi 3.3 names an unnamed prototype after the type made before it. That is a pointer here; after a struct the two would clash.
const progress = koffi.proto('void', [handle, 'uint64_t', 'uint64_t']);

const contextOptions = koffi.struct({
  threads: 'uint32_t',
  backend: 'uint32_t',
  isa: 'uint32_t',
  compute: 'uint32_t',
});
const quantization = koffi.struct({ format: 'uint32_t', double_quant: 'uint32_t' });
const quantized = koffi.struct({
  codes: 'uint8_t *',
  absmax: 'float *',
  absmax_codes: 'uint8_t *',
  nested_absmax: 'float *',
  offset: 'float *',
});
const loraTarget = koffi.struct({
  name: 'str',
  rank: 'uint32_t',
  scale: 'float',
  dora: 'uint32_t',
  bf16: 'uint32_t',
});
const adapterOptions = koffi.struct({
  dropout: 'float',
  bias: 'uint32_t',
  optimizer: 'uint32_t',
  init: 'uint32_t',
  init_iterations: 'uint32_t',
  seed: 'uint64_t',
});
const batch = koffi.struct({
  tokens: 'int32_t *',
  targets: 'int32_t *',
  starts: 'int32_t *',
  n_tokens: 'uint32_t',
  n_sequences: 'uint32_t',
});
const rows = koffi.struct({
  adapter: handle,
  begin: 'uint32_t',
  end: 'uint32_t',
  loss_scale: 'float',
  dropout_seed: 'uint64_t',
  label_smoothing: 'float',
  neftune_alpha: 'float',
});
const preference = koffi.struct({
  objective: 'uint32_t',
  beta: 'float',
  label_smoothing: 'float',
  reference: 'double *',
});
const stepOptions = koffi.struct({ checkpoint_activations: 'uint32_t', loss_chunk: 'uint32_t' });
const adamw = koffi.struct({
  learning_rate: 'float',
  beta1: 'float',
  beta2: 'float',
  epsilon: 'float',
  weight_decay: 'float',
  max_grad_norm: 'float',
  b_rate_ratio: 'float',
});
const cachedBatch = koffi.struct({
  tokens: 'int32_t *',
  starts: 'int32_t *',
  past: 'int32_t *',
  pages: 'int32_t *',
  page_starts: 'int32_t *',
  rope_lengths: 'int32_t *',
  wanted: 'uint8_t *',
  n_tokens: 'uint32_t',
  n_sequences: 'uint32_t',
});
const sampling = koffi.struct({
  temperature: 'float',
  top_p: 'float',
  top_k: 'uint32_t',
  seed: 'uint64_t',
  position: 'uint64_t',
  min_p: 'float',
  repetition_penalty: 'float',
  presence_penalty: 'float',
  frequency_penalty: 'float',
  history: 'int32_t *',
  n_history: 'uint32_t',
  n_prompt: 'uint32_t',
  bias_tokens: 'int32_t *',
  biases: 'float *',
  n_biases: 'uint32_t',
  allowed: 'uint32_t *',
});

const to = koffi.pointer;

/** Parameters of every status-returning function of include/lowrank_kernels.h that the surface calls. Typed arrays are passed
 *  by address, never copied: the caller keeps them alive until the call has ended. */
const SIGNATURES = {
  lr_context_create: [to(contextOptions), outHandle],
  lr_context_info: [handle, 'uint8_t *', 'size_t'],
  lr_context_memory: [handle, 'uint64_t *', 'uint64_t *', 'uint32_t'],
  lr_cancel_create: [outHandle],
  lr_quantize: [handle, to(quantization), 'float *', 'uint64_t', 'uint64_t', to(quantized)],
  lr_base_quantize: [handle, 'str', 'str', to(quantization), handle, to(progress), handle],
  lr_base_open: [handle, 'str', outHandle],
  lr_base_info: [handle, 'uint8_t *', 'size_t', 'size_t *'],
  lr_adapter_create: [handle, to(loraTarget), 'uint32_t', to(adapterOptions), outHandle],
  lr_adapter_info: [handle, 'uint8_t *', 'size_t', 'size_t *'],
  lr_adapter_read: [handle, 'uint32_t', 'uint32_t', 'float *', 'uint64_t'],
  lr_adapter_write: [handle, 'uint32_t', 'uint32_t', 'float *', 'uint64_t'],
  lr_adapter_zero_gradients: [handle],
  lr_adapter_state_size: [handle, 'uint64_t *'],
  lr_adapter_state_export: [handle, 'uint8_t *', 'uint64_t'],
  lr_adapter_state_import: [handle, 'uint8_t *', 'uint64_t'],
  lr_adapter_optimizer_step: [handle, to(adamw), 'float *'],
  lr_group_id: [handle, 'uint8_t *'],
  lr_group_join: [handle, 'uint8_t *', 'uint32_t', 'uint32_t', outHandle],
  lr_adapter_sum_gradients: [handle, handle, 'uint32_t', handle],
  lr_train_step: [handle, to(batch), to(rows), 'uint32_t', to(stepOptions), handle, 'void *'],
  lr_eval_step: [handle, to(batch), to(rows), 'uint32_t', handle, 'void *'],
  lr_sequence_logps: [handle, to(batch), to(rows), 'uint32_t', handle, 'double *', 'uint32_t *'],
  lr_preference_step: [
    handle,
    to(batch),
    to(rows),
    'uint32_t',
    to(preference),
    to(stepOptions),
    handle,
    'void *',
  ],
  lr_preference_eval: [handle, to(batch), to(rows), 'uint32_t', to(preference), handle, 'void *'],
  lr_logits: [handle, to(batch), to(rows), 'uint32_t', 'float *'],
  lr_cache_create: [handle, 'uint32_t', 'uint32_t', outHandle],
  lr_cache_run: [handle, 'uint32_t', to(cachedBatch), to(rows), 'uint32_t', handle, 'float *'],
  lr_sample: [
    handle,
    'float *',
    'uint32_t',
    to(sampling),
    'uint32_t',
    'int32_t *',
    'uint32_t',
    'int32_t *',
    'float *',
  ],
  lr_session_create: [handle, handle, 'uint32_t', outHandle],
  lr_session_append: [handle, 'int32_t *', 'uint32_t', handle],
  lr_session_logits: [handle, 'float *'],
  lr_session_sample: [handle, to(sampling), 'int32_t *'],
} as const;

export type Call = keyof typeof SIGNATURES;

const DESTRUCTORS = [
  'lr_context_destroy',
  'lr_cancel_destroy',
  'lr_base_close',
  'lr_adapter_destroy',
  'lr_group_leave',
  'lr_cache_destroy',
  'lr_session_destroy',
] as const;
export type Destructor = (typeof DESTRUCTORS)[number];

type Function = ReturnType<ReturnType<typeof koffi.load>['func']>;

/** The loaded library: functions by name, and what returns no status. */
export interface Native {
  /** Calls on this thread; returns an lr_status. */
  call(name: Call, args: unknown[]): number;
  /** Calls on another thread; resolves to an lr_status. */
  callAsync(name: Call, args: unknown[]): Promise<number>;
  destroy(name: Destructor, pointer: Pointer): void;
  setCancel(cancel: Pointer): void;
  errorOf(context: Pointer): string;
}

/** The library of that folder for this process: LOWRANK_DEVICE, which is `auto` when it is not set, and the machine's GPUs say which. */
function forDevice(path: string): string {
  const device = process.env['LOWRANK_DEVICE'] || 'auto';
  if (!['auto', 'cpu', 'cuda'].includes(device))
    throw new KernelError(
      'invalid_argument',
      `LOWRANK_DEVICE is '${device}'; it can be auto, cpu or cuda`,
      'load',
    );
  const cuda = join(dirname(path), CUDA_LIBRARY);
  const built = existsSync(cuda);
  if (device === 'cpu' || (device === 'auto' && !built)) return path;
  if (!built)
    throw new KernelError(
      'io_error',
      `LOWRANK_DEVICE is cuda, but ${cuda} has not been built: \`make -C libs/kernels cuda\``,
      'load',
    );
  if (readGpus().gpus.length > 0) return cuda;
  if (device === 'auto') return path;
  throw new KernelError(
    'invalid_argument',
    'LOWRANK_DEVICE is cuda, but the driver shows no GPU on this machine',
    'load',
  );
}

/** The CPU's library in build/ of this project, in a folder above this file; null: it has not been built. */
function builtLibrary(): string | null {
  for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder))
    for (const path of [join(folder, 'build', LIBRARY), join(folder, 'libs', 'kernels', 'build', LIBRARY)])
      if (existsSync(path)) return path;
  return null;
}

const namedLibrary = (): string | null => process.env['LOWRANK_KERNELS_LIB'] || null;

/** Where the library is: LOWRANK_KERNELS_LIB, or the built one of the device. */
function libraryPath(): string {
  const named = namedLibrary();
  if (named !== null) {
    if (existsSync(named)) return named;
    throw new KernelError('io_error', `LOWRANK_KERNELS_LIB names ${named}, which does not exist`, 'load');
  }
  const built = builtLibrary();
  if (built !== null) return forDevice(built);
  throw new KernelError(
    'io_error',
    `${LIBRARY} has not been built: run \`npm run build:kernels\`, or name it in LOWRANK_KERNELS_LIB`,
    'load',
  );
}

/**
 * The library that computes on this machine's GPUs: the one that LOWRANK_KERNELS_LIB names, whatever it computes on, or the CUDA library
 * beside the CPU's. Null: there is none.
 */
export function gpuLibrary(): string | null {
  const built = builtLibrary();
  const path = namedLibrary() ?? (built && join(dirname(built), CUDA_LIBRARY));
  return path !== null && existsSync(path) ? path : null;
}

function open(path: string): Native {
  const library = loadLibrary(path);
  const version = library.func('lr_interface_version', 'uint32_t', [])() as number;
  if (version !== INTERFACE_VERSION) {
    throw new KernelError(
      'internal',
      `${path} has interface version ${version}, not ${INTERFACE_VERSION}: run \`npm run build:kernels\``,
      'load',
    );
  }
  const functions = Object.fromEntries(
    Object.entries(SIGNATURES).map(([name, parameters]) => [
      name,
      library.func(name, status, [...parameters]),
    ]),
  ) as Record<Call, Function>;
  const destructors = Object.fromEntries(
    DESTRUCTORS.map((name) => [name, library.func(name, 'void', [handle])]),
  ) as Record<Destructor, Function>;
  const setCancel = library.func('lr_cancel_set', 'void', [handle]);
  const contextError = library.func('lr_context_error', 'str', [handle]);
  return {
    call: (name, args) => functions[name](...args) as number,
    callAsync: (name, args) =>
      new Promise((resolve, reject) =>
        functions[name].async(...args, (error: Error | null, result: number) => {
          if (error) reject(error);
          else resolve(result);
        }),
      ),
    destroy: (name, pointer) => void destructors[name](pointer),
    setCancel: (cancel) => void setCancel(cancel),
    errorOf: (context) => contextError(context) as string,
  };
}

let loaded: Native | undefined;

/** Loads the library once per process. Throws KernelError when it is missing or of another interface version. */
export function loadNative(): Native {
  loaded ??= open(libraryPath());
  return loaded;
}
