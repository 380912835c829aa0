import { LowrankError } from '@lowrank/contracts';
import { type ModelConfig } from '@lowrank/datasets';
import { z } from 'zod';
import { type Metadata, type MetaValue } from './gguf-file';

const number = z.number();
const rope = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: number.nullish(),
  factor: number.nullish(),
  partial_rotary_factor: number.nullish(),
});
type Rope = z.output<typeof rope>;

/** What of config.json goes into a GGUF file beside the sizes, which parseModelConfig reads. */
const settingsSchema = z.looseObject({
  rms_norm_eps: number.nullish(),
  rope_theta: number.nullish(),
  rope_local_base_freq: number.nullish(),
  rope_scaling: rope.nullish(),
  rope_parameters: z.union([z.object({ full_attention: rope, sliding_attention: rope }), rope]).nullish(),
  partial_rotary_factor: number.nullish(),
  sliding_window: number.nullish(),
  use_sliding_window: z.boolean().nullish(),
  layer_types: z.array(z.string()).nullish(),
  sliding_window_pattern: number.nullish(),
  query_pre_attn_scalar: number.nullish(),
  attn_logit_softcapping: number.nullish(),
  final_logit_softcapping: number.nullish(),
});
type Settings = z.output<typeof settingsSchema>;

/** How GGUF calls a model, and what readers of GGUF take for granted about it. */
interface GgufArchitecture {
  name: 'llama' | 'qwen2' | 'qwen3' | 'gemma2' | 'gemma3' | 'phi3';
  /** Rows of q and k lie in pairs that turn together, not in halves. */
  permuted?: true;
  /** Norms are stored with the 1 that this architecture adds to them. */
  normsPlusOne?: true;
  /** Readers know biases of these. */
  biases: 'any' | 'qkv' | 'none';
  /** Every n-th layer sees everything, the others a window. */
  pattern?: number;
}

const llama: GgufArchitecture = { name: 'llama', permuted: true, biases: 'any' };
const gemma3: GgufArchitecture = { name: 'gemma3', normsPlusOne: true, biases: 'none', pattern: 6 };
const architectures: Record<string, GgufArchitecture> = {
  llama,
  mistral: llama,
  qwen2: { name: 'qwen2', biases: 'qkv' },
  qwen3: { name: 'qwen3', biases: 'none' },
  gemma2: { name: 'gemma2', normsPlusOne: true, biases: 'none', pattern: 2 },
  gemma3,
  gemma3_text: gemma3,
  phi3: { name: 'phi3', biases: 'none' },
};

/** Names of a layer's modules in GGUF, https://github.com/ggml-org/llama.cpp/blob/master/gguf-py/gguf/tensor_mapping.py. */
const modules: Readonly<Record<string, string>> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.qkv_proj': 'attn_qkv',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.gate_up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  input_layernorm: 'attn_norm',
};
/** Of models with norms on the outputs of attention and MLP, and of the others. */
const outputNorms: Readonly<Record<string, string>> = {
  post_attention_layernorm: 'post_attention_norm',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
};
const plainNorms: Readonly<Record<string, string>> = { post_attention_layernorm: 'ffn_norm' };

const refuse = (message: string): LowrankError =>
  new LowrankError('export_unsupported', `GGUF: ${message}; formats 'merged' and the adapter itself have it`);

/** A model as it is written in GGUF. */
export interface GgufModel {
  /** `general.architecture`, and what its keys begin with. */
  architecture: string;
  metadata: Metadata;
  /** Divisors of RoPE's frequencies, where they are not all 1: the tensor rope_freqs.weight. */
  ropeFactors: Float32Array | null;
  /** Name of a tensor or a module; null: it has no place in the file. */
  nameOf(name: string): string | null;
  /** Values of a tensor [rows, …] as GGUF has them, in place; the opposite way with `back`. */
  arrange(name: string, values: Float32Array, rows: number, back?: boolean): void;
}

/** Where a row of q or k goes: in GGUF the two halves of a head, which turn together, take turns. */
function permute(values: Float32Array, rows: number, headDim: number, back: boolean): void {
  const width = values.length / rows;
  const copy = values.slice();
  const half = headDim / 2;
  for (let row = 0; row < rows; row += 1) {
    const [head, within] = [Math.floor(row / headDim), row % headDim];
    const to = head * headDim + 2 * (within % half) + Math.floor(within / half);
    const [from, into] = back ? [to, row] : [row, to];
    values.set(copy.subarray(from * width, (from + 1) * width), into * width);
  }
}

const isDefault = (value: unknown, standard: number): boolean => (value ?? standard) === standard;

/** llama3's divisors of the frequencies, which transformers computes in the same way when it loads the model. */
function llama3Factors(of: Rope, theta: number, dims: number): Float32Array {
  const { factor = 8, low_freq_factor: low = 1, high_freq_factor: high = 4 } = of as Record<string, number>;
  const context = Number(of.original_max_position_embeddings ?? 8192);
  return Float32Array.from({ length: dims / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / dims);
    if (wavelength < context / high) return 1;
    if (wavelength > context / low) return factor;
    const smooth = (context / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

interface RopeMeta {
  theta: number;
  dims: number;
  meta: [string, MetaValue][];
  factors: Float32Array | null;
}

function ropeMeta(settings: Settings, { modelType, decoder }: ModelConfig, arch: GgufArchitecture): RopeMeta {
  const parameters = settings.rope_parameters;
  const both = parameters && 'full_attention' in parameters ? parameters : null;
  const full = ((both ? both.full_attention : parameters) ?? settings.rope_scaling ?? {}) as Rope;
  const type = full.rope_type ?? full.type ?? 'default';
  const standard = arch.name === 'gemma3' ? 1e6 : 1e4;
  const theta = full.rope_theta ?? settings.rope_theta ?? standard;
  const part = full.partial_rotary_factor ?? settings.partial_rotary_factor ?? 1;
  const dims = Math.floor(decoder.headDim * part);
  const local = (both?.sliding_attention as Rope | undefined)?.rope_theta ?? settings.rope_local_base_freq;
  if (arch.name === 'gemma3' && !isDefault(local, 1e4))
    throw refuse(`readers take the RoPE of gemma3's windows to have base 10000, this model has ${local}`);
  const made = { theta, dims, meta: [], factors: null };
  const scaling = (kind: string): [string, MetaValue][] => [
    ['rope.scaling.type', { type: 'text', value: kind }],
    ['rope.scaling.factor', { type: 'f32', value: full.factor ?? 1 }],
  ];
  switch (type) {
    case 'default':
      return made;
    case 'linear':
      return { ...made, meta: scaling('linear') };
    case 'llama3':
      if (arch.name !== 'llama') break;
      return { ...made, factors: llama3Factors(full, theta, dims) };
    case 'yarn': {
      const plain =
        isDefault(full.beta_fast, 32) &&
        isDefault(full.beta_slow, 1) &&
        full.truncate !== false &&
        [full.attention_factor, full.mscale, full.mscale_all_dim].every((value) => (value ?? null) === null);
      if (!plain || arch.pattern !== undefined) break;
      const original = full.original_max_position_embeddings;
      if (typeof original !== 'number') break;
      return {
        ...made,
        meta: [
          ...scaling('yarn'),
          ['rope.scaling.original_context_length', { type: 'u32', value: original }],
        ],
      };
    }
  }
  throw refuse(`the RoPE of this ${modelType} model (${type}, with its settings) has no place in it`);
}

/** Whether the layers that see everything are those that readers take for them. */
function checkPattern(settings: Settings, layers: number, pattern: number): void {
  const isFull = (layer: number) =>
    settings.layer_types
      ? settings.layer_types[layer] === 'full_attention'
      : (layer + 1) % (settings.sliding_window_pattern ?? pattern) === 0;
  for (let layer = 0; layer < layers; layer += 1)
    if (isFull(layer) !== ((layer + 1) % pattern === 0))
      throw refuse(`readers take every ${pattern}th layer to see everything, which is not so in this model`);
}

/** What readers assume of gemma's attention, or the keys that say so. */
function gemmaMeta(
  settings: Settings,
  { decoder }: ModelConfig,
  arch: GgufArchitecture,
): [string, MetaValue][] {
  const pattern = arch.pattern as number;
  checkPattern(settings, decoder.layers, pattern);
  const { headDim, hidden, heads, layers } = decoder;
  // Both families have a 27B whose scale is another one; readers know it by its layers.
  const largest = layers === (arch.name === 'gemma2' ? 46 : 62);
  if ((settings.query_pre_attn_scalar ?? 256) !== (largest ? hidden / heads : headDim))
    throw refuse(`query_pre_attn_scalar ${settings.query_pre_attn_scalar} is not what readers take it for`);
  const window = settings.sliding_window ?? 4096;
  const meta: [string, MetaValue][] = [['attention.sliding_window', { type: 'u32', value: window }]];
  if (arch.name !== 'gemma2') {
    if ((settings.final_logit_softcapping ?? null) !== null) throw refuse('gemma3 with a soft-cap on logits');
    return meta;
  }
  const caps = { attn_logit_softcapping: 50, final_logit_softcapping: 30 };
  for (const [key, standard] of Object.entries(caps)) {
    const value = key in settings ? settings[key] : standard;
    if (typeof value !== 'number') throw refuse(`gemma2 without ${key}`);
    meta.push([key, { type: 'f32', value }]);
  }
  return meta;
}

/**
 * Longest sequence for which readers and this model agree: readers without windows see everything, so it ends where the model's window does.
 */
function contextOf(settings: Settings, config: ModelConfig, arch: GgufArchitecture): number {
  // MistralConfig has this window where config.json is silent.
  const window =
    settings.sliding_window === undefined && config.modelType === 'mistral' ? 4096 : settings.sliding_window;
  const slides = arch.name.startsWith('qwen')
    ? settings.use_sliding_window === true
    : arch.pattern === undefined;
  return slides && typeof window === 'number' ? Math.min(window, config.contextLength) : config.contextLength;
}

function checkBiases({ decoder, modelType }: ModelConfig, arch: GgufArchitecture): void {
  const { qkv, o, mlp } = decoder.biases;
  const known = arch.biases === 'any' || (arch.biases === 'qkv' ? !o && !mlp : !qkv && !o && !mlp);
  if (!known) throw refuse(`readers know no such biases of ${modelType}`);
}

/**
 * How a model is written in GGUF. Throws LowrankError export_unsupported for settings that readers of GGUF cannot be told of: better
 * than a file that answers otherwise.
 */
export function ggufModel(config: ModelConfig, raw: Record<string, unknown>): GgufModel {
  const arch = architectures[config.modelType];
  if (arch === undefined)
    throw refuse(
      `architecture ${config.modelType} is not done; done are ${Object.keys(architectures).join(', ')}`,
    );
  const settings = settingsSchema.parse(config.modelType === 'gemma3' ? raw.text_config : raw);
  checkBiases(config, arch);
  const { decoder } = config;
  const turning = ropeMeta(settings, config, arch);
  const u32 = (value: number): MetaValue => ({ type: 'u32', value });
  const f32 = (value: number): MetaValue => ({ type: 'f32', value });
  const own: [string, MetaValue][] = [
    ['context_length', u32(contextOf(settings, config, arch))],
    ['embedding_length', u32(decoder.hidden)],
    ['block_count', u32(decoder.layers)],
    ['feed_forward_length', u32(decoder.intermediate)],
    ['attention.head_count', u32(decoder.heads)],
    ['attention.head_count_kv', u32(decoder.kvHeads)],
    ['attention.key_length', u32(decoder.headDim)],
    ['attention.value_length', u32(decoder.headDim)],
    ['attention.layer_norm_rms_epsilon', f32(settings.rms_norm_eps ?? (arch.name === 'phi3' ? 1e-5 : 1e-6))],
    ['rope.dimension_count', u32(turning.dims)],
    ['rope.freq_base', f32(turning.theta)],
    ['vocab_size', u32(config.vocabSize)],
    ...turning.meta,
    ...(arch.pattern === undefined ? [] : gemmaMeta(settings, config, arch)),
  ];
  return {
    architecture: arch.name,
    metadata: new Map<string, MetaValue>([
      ['general.architecture', { type: 'text', value: arch.name }],
      ...own.map(([key, value]): [string, MetaValue] => [`${arch.name}.${key}`, value]),
    ]),
    ropeFactors: turning.factors,
    nameOf: (name) => nameOf(name, config),
    arrange(name, values, rows, back = false) {
      if (arch.permuted && /\.self_attn\.[qk]_proj\b/.test(name))
        permute(values, rows, decoder.headDim, back);
      if (arch.normsPlusOne && name.endsWith('norm.weight'))
        for (let i = 0; i < values.length; i += 1) values[i] = (values[i] as number) + (back ? -1 : 1);
    },
  };
}

function nameOf(name: string, { decoder }: ModelConfig): string | null {
  const kind = /\.(weight|bias)$/.exec(name)?.[0] ?? '';
  const module = name.slice(0, name.length - kind.length);
  if (module === 'lm_head') return decoder.tiedEmbeddings ? null : `output${kind}`;
  if (!module.startsWith(decoder.prefix)) return null;
  const inner = module.slice(decoder.prefix.length);
  if (inner === 'embed_tokens') return `token_embd${kind}`;
  if (inner === 'norm') return `output_norm${kind}`;
  const [, layer, part] = /^layers\.(\d+)\.(.+)$/.exec(inner) ?? [];
  const norms = decoder.outputNorms ? outputNorms : plainNorms;
  const known = modules[part ?? ''] ?? norms[part ?? ''];
  return known === undefined ? null : `blk.${layer}.${known}${kind}`;
}
