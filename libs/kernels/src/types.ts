/** The typed surface of the kernel library. Shapes, units and errors follow include/lowrank_kernels.h. */

export type Backend = 'fast' | 'reference';
export type Isa = 'auto' | 'scalar' | 'avx2' | 'avx512' | 'avx512_bf16' | 'amx_bf16';
export type Compute = 'f32' | 'bf16';

/** How the linear layers of a base are kept; the 4-bit and 8-bit ones are bitsandbytes' own. */
export type StorageFormat = 'nf4' | 'fp4' | 'int8' | 'bf16' | 'f32';

export interface Quantization {
  format: StorageFormat;
  /** The block scales of `nf4` and `fp4` are quantized too; no matter for the others. */
  doubleQuantization: boolean;
}

/** The parts of a quantized matrix that its format has; see lr_quantized. */
export interface QuantizedMatrix {
  /** Two to a byte for `nf4` and `fp4`; signed bytes for `int8`. */
  codes: Uint8Array;
  absmax?: Float32Array;
  absmaxCodes?: Uint8Array;
  nestedAbsmax?: Float32Array;
  offset?: Float32Array;
}

export interface KernelOptions {
  /** Threads including the caller's; default: number of usable cores. */
  threads?: number;
  backend?: Backend;
  isa?: Isa;
  /** Operand type of the big matrix products; sums are float32 in both. */
  compute?: Compute;
}

export interface KernelInfo {
  version: string;
  backend: Backend;
  /** `cuda`: the GPU computes, and `threads` are those of what stays with the processor. */
  isa: Exclude<Isa, 'auto'> | 'cuda';
  compute: Compute;
  threads: number;
}

/** A linear layer of the base that an adapter can target. */
export interface LinearInfo {
  /** Full module name, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string;
  in: number;
  out: number;
  /** Whether it adds a bias. */
  bias: boolean;
  storage: StorageFormat;
}

export interface BaseInfo {
  modelType: string;
  layers: number;
  hidden: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  intermediate: number;
  vocab: number;
  maxPositions: number;
  tied: boolean;
  fileBytes: number;
  /** Parameters of the unquantized model. */
  parameters: number;
  /** As asked for, or as bitsandbytes did it when the checkpoint was `prequantized`; layers it left alone have another storage. */
  quantization: Quantization;
  prequantized: boolean;
  /** Of the linear layers, scales included. */
  bytesPerParameter: number;
  linears: LinearInfo[];
}

export interface LoraTarget {
  name: string;
  rank: number;
  /** alpha / rank, or alpha / √rank with rsLoRA */
  scale: number;
  /** DoRA: a trained magnitude for each output. Default: false. */
  dora?: boolean;
  /**
   * The pair is kept in bfloat16 where the backend can: half of the memory. What is written is rounded to it, and the adapter answers only: it
   * is not trained. Default: false.
   */
  bf16?: boolean;
}

/** Which biases of the base's linear layers are trained: those of the targets, or all. */
export type Bias = 'none' | 'lora_only' | 'all';

export interface AdapterSpec {
  targets: LoraTarget[];
  /** Probability in [0, 1). Default: 0. */
  dropout?: number;
  /** Default: none. */
  bias?: Bias;
  /** How AdamW's moments are kept. Default: adamw, as floats. */
  optimizer?: 'adamw' | 'adamw8bit';
  /** PiSSA takes `iterations` rounds to find the principal pair. Default: A random, B zero. */
  init?: 'default' | { pissa: { iterations: number } };
  /** Default: 0. */
  seed?: bigint;
}

/** One tensor of an adapter. PiSSA's `initial_…` are the pair as it began; they are not trained. */
export interface AdapterTensor {
  /** Name of the linear layer it belongs to. */
  module: string;
  /** `lora_A` [rank, in], `lora_B` [out, rank], `lora_magnitude_vector` [out], `bias` [out] */
  role: 'lora_A' | 'lora_B' | 'lora_magnitude_vector' | 'bias' | 'initial_A' | 'initial_B';
  shape: number[];
  /** What it is kept in. */
  dtype: 'f32' | 'bf16';
}

/** Packed sequences; see lr_batch. */
export interface PackedBatch {
  /** [tokens] ids */
  tokens: Int32Array;
  /** [tokens] next-token ids, -100 where no loss is taken */
  targets: Int32Array;
  /** [sequences + 1] */
  starts: Int32Array;
}

/** Tokens [begin, end) go through this adapter, or the bare base. */
export interface Rows {
  adapter: Adapter | null;
  begin: number;
  end: number;
  /** 1 / (tokens with loss in the accumulated batch). Ignored by evalStep. */
  lossScale?: number;
  dropoutSeed?: bigint;
  /** Of trainStep only. */
  labelSmoothing?: number;
  /** Noise on the input embeddings while training; 0 or none: off. */
  neftuneAlpha?: number;
}

/** An objective over pairs of sequences, chosen then rejected; see lr_objective. */
export type Preference =
  | {
      objective: 'dpo';
      beta: number;
      /** Below 0.5: conservative DPO. */
      labelSmoothing?: number;
      /** Σ log p of the bare base, for each sequence of the entry of rows. */
      reference: Float64Array;
    }
  | { objective: 'orpo'; lambda: number };

export interface StepOptions {
  checkpointActivations?: boolean;
  signal?: AbortSignal;
}

export interface Loss {
  /** Σ −log p(target), nats; of trainStep, smoothed as its rows ask for. */
  sum: number;
  tokens: number;
  correct: number;
}

export interface PreferenceLoss {
  /** Σ of the objective over pairs. */
  sum: number;
  /** Σ over pairs. */
  chosenReward: number;
  rejectedReward: number;
  /** Σ −log p over the tokens of the chosen answers. */
  chosenNll: number;
  chosenTokens: number;
  pairs: number;
  /** Pairs whose chosen answer has the higher reward. */
  correct: number;
}

export interface AdamW {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** 0 = no clipping. */
  maxGradNorm: number;
  /** LoRA+: learning rate of everything but A, over that of A. Default: 1. */
  bRateRatio?: number;
}

/** How a token is drawn; the order in which settings act is that of lr_sampling. Those left out are off. */
export interface Sampling {
  /** 0 = greedy. */
  temperature: number;
  /** In (0, 1]; 1 = off. */
  topP: number;
  /** 0 = off. */
  topK: number;
  seed: bigint;
  /** Of the token that is drawn: with the seed it fixes the draw. A session takes its length instead. Default: 0. */
  position?: number;
  /** Tokens of less than this share of the highest probability are left out. */
  minP?: number;
  /** Divides logits above 0 of tokens in history, multiplies others; 1 = off. */
  repetitionPenalty?: number;
  /** Taken off the logits of tokens that were generated. */
  presencePenalty?: number;
  /** The same times how often they were. */
  frequencyPenalty?: number;
  /** The sequence so far, which penalties look at; its first `prompt` tokens were not generated. */
  history?: { tokens: Int32Array; prompt: number };
  /** Added to the logits of these tokens. */
  bias?: { tokens: Int32Array; values: Float32Array };
  /** [⌈vocab / 32⌉] token t may be drawn when bit t mod 32 of word ⌊t / 32⌋ is set. Default: every token. */
  allowed?: Uint32Array;
}

/** A token that was drawn. With log-probabilities: its own and the most probable tokens', falling, as the model has them. */
export interface Draw {
  token: number;
  logprob?: number;
  top?: { token: number; logprob: number }[];
}

export interface Memory {
  currentBytes: number;
  peakBytes: number;
}

/**
 * A context of the native library. One per process is usual. Every async method runs off the event loop; calls on handles of
 * one context are queued one after the other. Failures reject with KernelError.
 */
export interface Kernels {
  readonly info: KernelInfo;
  /** Writes `file` (atomic); `onProgress` gets bytes done and in all. Default quantization: NF4, double-quantized. */
  quantizeBase(
    modelDir: string,
    file: string,
    options?: {
      quantization?: Quantization;
      signal?: AbortSignal;
      onProgress?: (done: number, total: number) => void;
    },
  ): Promise<void>;
  openBase(file: string): Promise<Base>;
  /** values [rows, values.length / rows] to `nf4`, `fp4` or `int8`. */
  quantize(values: Float32Array, rows: number, quantization: Quantization): QuantizedMatrix;
  memory(resetPeak?: boolean): Memory;
  /** What ranks find each other by: made by one of them, given to all. Throws KernelError: io_error where there is no NCCL, device_failed. */
  groupId(): Uint8Array;
  /**
   * Joins as one of `ranks` contexts, each on a GPU of its own, that train one adapter together; see lr_group_join. Waits for the others: nothing
   * but the end of the process ends the wait. Rejects as groupId throws.
   */
  joinGroup(id: Uint8Array, rank: number, ranks: number): Promise<Group>;
  /** Frees the context after its bases. */
  close(): void;
}

export interface Base {
  readonly info: BaseInfo;
  createAdapter(spec: AdapterSpec): Adapter;
  /** Adds to the gradients of every adapter in rows. One loss per entry of rows. */
  trainStep(batch: PackedBatch, rows: Rows[], options?: StepOptions): Promise<Loss[]>;
  evalStep(batch: PackedBatch, rows: Rows[], options?: Pick<StepOptions, 'signal'>): Promise<Loss[]>;
  /** One preference and one loss for each entry of rows, whose sequences come in pairs; adds to the gradients as trainStep does. */
  preferenceStep(
    batch: PackedBatch,
    rows: Rows[],
    preferences: Preference[],
    options?: StepOptions,
  ): Promise<PreferenceLoss[]>;
  preferenceEval(
    batch: PackedBatch,
    rows: Rows[],
    preferences: Preference[],
    options?: Pick<StepOptions, 'signal'>,
  ): Promise<PreferenceLoss[]>;
  /** Σ log p(target) of every sequence. */
  sequenceLogps(
    batch: PackedBatch,
    rows: Rows[],
    options?: Pick<StepOptions, 'signal'>,
  ): Promise<Float64Array>;
  /** [tokens × vocab], for parity checks: of its own, or the beginning of `into`, which is as long at least. */
  logits(batch: PackedBatch, rows: Rows[], into?: Float32Array): Promise<Float32Array>;
  /** Memory for keys and values of `pages` × `pageTokens` tokens. */
  openCache(options: { pageTokens: number; pages: number }): Cache;
  openSession(options: { adapter?: Adapter | null; capacity: number }): Session;
  close(): void;
}

/** Contexts on several GPUs that train one adapter together. */
export interface Group {
  readonly rank: number;
  readonly ranks: number;
  /** Every rank leaves, before its context is closed. */
  leave(): void;
}

export interface Adapter {
  readonly tensors: readonly AdapterTensor[];
  /** Of tensor `index`, into an array of as many elements when one is given. */
  read(index: number, kind?: 'weight' | 'gradient', into?: Float32Array): Float32Array;
  write(index: number, values: Float32Array): void;
  zeroGradients(): void;
  /** Updates the weights and zeroes the gradients. `applied` is false when a gradient was not finite. */
  optimizerStep(settings: AdamW): Promise<{ gradNorm: number; applied: boolean }>;
  /**
   * Adds the gradients that ranks have of a turn of micro-batches, in the order of ranks; `last`: those of the last turn before optimizerStep. All
   * ranks of the group call it. Rejects with KernelError: cancelled and device_failed end the group.
   */
  sumGradients(group: Group, last: boolean, options?: { signal?: AbortSignal }): Promise<void>;
  /** Written over `into` when that has the right size, which states of one adapter all have. */
  exportState(into?: Uint8Array): Uint8Array;
  importState(state: Uint8Array): void;
  close(): void;
}

/** New tokens of one sequence of a cache. */
export interface CachedSequence {
  /** At least one; to decode exactly one. */
  tokens: Int32Array;
  /** Tokens of the sequence that are in the cache already. */
  past: number;
  /** Its pages, in order: token i lies in page pages[⌊i / pageTokens⌋]. Enough for past and new tokens. */
  pages: Int32Array;
  adapter: Adapter | null;
  /** Where rotary frequencies depend on a sequence's length: the one they are of; see lr_cached_batch. Default: the length so far. */
  ropeLength?: number;
  /** Whether logits after its last token are wanted. Default: true. */
  wanted?: boolean;
}

/** Keys and values of many sequences, in pages that the caller hands out. */
export interface Cache {
  readonly pageTokens: number;
  readonly pages: number;
  /**
   * Runs new tokens through the model and keeps their keys and values: prompts by `prefill`, generated tokens by `decode`. A
   * sequence gets the same bytes whatever else is in the batch. Returns logits [sequences wanted × vocab] in the order of the batch.
   * A page that receives tokens belongs to one sequence of the call; pages that are only read may be shared. Whatever ends a call early,
   * tokens that were in the cache stay. Rejects with KernelError: invalid_argument, out_of_memory, cancelled.
   */
  run(
    kind: 'prefill' | 'decode',
    sequences: readonly CachedSequence[],
    options?: { signal?: AbortSignal },
  ): Promise<Float32Array>;
  /**
   * Draws a token from each row of logits [samplings × vocab], as `run` returned them. `logprobs`: how many of the most probable
   * tokens come along; left out, there are no log-probabilities. Rejects with KernelError: invalid_argument, out_of_memory,
   * not_finite.
   */
  sample(
    logits: Float32Array,
    samplings: readonly Sampling[],
    options?: { logprobs?: number },
  ): Promise<Draw[]>;
  close(): void;
}

export interface Session {
  /** Tokens so far. */
  readonly length: number;
  append(tokens: Int32Array, options?: { signal?: AbortSignal }): Promise<void>;
  /** [vocab], after the last appended token. */
  logits(): Float32Array;
  /** Draws the next token from the last logits; it is not appended. */
  sample(sampling: Sampling): number;
  close(): void;
}
