import {
  type BaseStorage,
  type Decoder,
  linearLayers,
  LowrankError,
  supportedModelTypes,
} from '@lowrank/contracts';
import { z } from 'zod';
import { type Architecture, architectures } from './architectures';
import { checkpointQuantization } from './quantized-checkpoint';

const size = z.int().positive();
const ropeSchema = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: z.number().positive().nullish(),
  original_max_position_embeddings: size.nullish(),
  partial_rotary_factor: z.number().positive().nullish(),
});

/** The members of config.json that decide shapes and support; others are the kernel library's business. */
const configSchema = z.looseObject({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size.max(4096),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  original_max_position_embeddings: size.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  hidden_act: z.string().default('silu'),
  layer_types: z.array(z.string()).nullish(),
  partial_rotary_factor: z.number().positive().nullish(),
  // gemma3 has settings for each kind of layer within
  rope_parameters: z
    .union([z.object({ full_attention: ropeSchema, sliding_attention: ropeSchema }), ropeSchema])
    .nullish(),
  rope_scaling: ropeSchema.nullish(),
});
type Config = z.output<typeof configSchema>;
type Rope = z.output<typeof ropeSchema>;

export interface ModelConfig {
  modelType: string;
  vocabSize: number;
  /** Longest sequence, in tokens. */
  contextLength: number;
  decoder: Omit<Decoder, 'dtype'>;
  /** Tensors that the weights of this model have to hold: name → shape. */
  tensors: Map<string, number[]>;
  /** How an older checkpoint calls a tensor. */
  olderName: (name: string) => string;
  /** What bitsandbytes has made of the linear layers; null when the checkpoint is in full precision. */
  quantization: BaseStorage | null;
}

function unsupported(message: string): LowrankError {
  return new LowrankError('base_model_unsupported', `config.json: ${message}`);
}

/** Attention heads as the kernel library can lay them out; a model that it refuses must not be imported. */
function checkHeads(config: Config): void {
  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim } = config;
  const fail = (message: string): never => {
    throw new LowrankError('base_model_invalid', `config.json: ${message}`);
  };
  const headDim = head_dim ?? hidden / heads;
  if (!Number.isInteger(headDim))
    fail(`hidden_size ${hidden} is no multiple of num_attention_heads ${heads} and there is no head_dim`);
  if (headDim % 2 !== 0) fail(`head_dim ${headDim} is odd`);
  if (heads % (kvHeads ?? heads) !== 0)
    fail(`num_attention_heads ${heads} is no multiple of num_key_value_heads ${kvHeads}`);
}

const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && value !== 0;

/** Members that are null count as absent: the class's default holds. */
function withDefaults(value: object, architecture: Architecture): Record<string, unknown> {
  const present = Object.entries(value).filter(([, member]) => member !== null);
  const config: Record<string, unknown> = { ...architecture.defaults, ...Object.fromEntries(present) };
  // Gemma has a name of its own for the activation.
  if (architecture.outputNorms)
    config.hidden_act =
      (value as { hidden_activation?: unknown }).hidden_activation ?? architecture.defaults.hidden_act;
  return config;
}

/** The RoPE settings of a model: one, or one for each kind of layer, that of layers that see everything first. */
function ropesOf(config: Config): Rope[] {
  const rope = config.rope_parameters ?? config.rope_scaling;
  if (!rope) return [];
  return 'full_attention' in rope
    ? [rope.full_attention as Rope, rope.sliding_attention as Rope]
    : [rope as Rope];
}

function ropeType(rope: Rope | undefined, architecture: Architecture): string {
  const type = rope?.rope_type ?? rope?.type ?? 'default';
  return architecture.longrope && ['su', 'yarn'].includes(type) ? 'longrope' : type;
}

function checkSupport(config: Config, architecture: Architecture, modelType: string): void {
  for (const key of ['attention_dropout', ...(architecture.refused ?? [])])
    if (isSet(config[key]))
      throw unsupported(`'${key}' is set, which changes the result and is not supported`);
  if (!['silu', 'swish', 'gelu_pytorch_tanh'].includes(config.hidden_act))
    throw unsupported(
      `activation '${config.hidden_act}' is not supported; supported: silu, gelu_pytorch_tanh`,
    );
  const known = architecture.longrope
    ? ['default', 'longrope']
    : ['default', 'linear', 'dynamic', 'yarn', 'llama3', 'longrope'];
  for (const rope of [config, ...ropesOf(config)] as Rope[]) {
    const type = rope === config ? 'default' : ropeType(rope, architecture);
    if (!known.includes(type))
      throw unsupported(`RoPE type '${type}' is not supported; supported: ${known.join(', ')}`);
    if ((rope.partial_rotary_factor ?? 1) !== 1 && !architecture.longrope)
      throw unsupported(`partial rotary embeddings are not supported for ${modelType}`);
    if (isSet(rope.mrope_section)) throw unsupported(`'mrope_section' is not supported`);
  }
  if (architecture.uniformWindows && new Set(config.layer_types).size > 1)
    throw unsupported(`layer_types differ; ${modelType} has one window on all layers or none`);
  for (const type of config.layer_types ?? [])
    if (!['full_attention', 'sliding_attention'].includes(type))
      throw unsupported(
        `layer type '${type}' is not supported; supported: full_attention, sliding_attention`,
      );
}

/** Some stretched RoPEs leave max_position_embeddings at that of pre-training. */
function contextLength(config: Config, architecture: Architecture): number {
  const positions = config.max_position_embeddings;
  const [rope] = ropesOf(config);
  const type = ropeType(rope, architecture);
  if (type !== 'dynamic' && type !== 'yarn') return positions;
  const original =
    type === 'dynamic'
      ? positions
      : (config.original_max_position_embeddings ?? rope?.original_max_position_embeddings ?? positions);
  return Math.max(positions, Math.floor(original * (rope?.factor ?? positions / original)));
}

function decoderOf(
  config: Config,
  architecture: Architecture,
  quantization: BaseStorage | null,
): ModelConfig['decoder'] {
  const heads = config.num_attention_heads;
  return {
    prefix: architecture.nested?.prefix ?? 'model.',
    layers: config.num_hidden_layers,
    hidden: config.hidden_size,
    intermediate: config.intermediate_size,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headDim: config.head_dim ?? config.hidden_size / heads,
    tiedEmbeddings: config.tie_word_embeddings,
    fused: architecture.fused ?? false,
    qkNorms: architecture.qkNorms ?? false,
    outputNorms: architecture.outputNorms ?? false,
    biases: architecture.biases(config),
    ropes: architecture.ropes ?? 1,
    quantization,
  };
}

function expectedTensors(decoder: ModelConfig['decoder'], vocab: number): Map<string, number[]> {
  const { prefix, layers, hidden, headDim, tiedEmbeddings, outputNorms, qkNorms } = decoder;
  const tensors = new Map<string, number[]>([[`${prefix}embed_tokens.weight`, [vocab, hidden]]]);
  for (const { name, in: inputs, out, bias } of linearLayers(decoder)) {
    tensors.set(`${name}.weight`, [out, inputs]);
    if (bias) tensors.set(`${name}.bias`, [out]);
  }
  const output = ['pre_feedforward_layernorm', 'post_feedforward_layernorm'];
  const norms = [
    ...['input_layernorm', 'post_attention_layernorm', ...(outputNorms ? output : [])].map(
      (name) => [name, hidden] as const,
    ),
    ...(qkNorms ? ['self_attn.q_norm', 'self_attn.k_norm'] : []).map((name) => [name, headDim] as const),
  ];
  for (let layer = 0; layer < layers; layer += 1)
    for (const [name, width] of norms) tensors.set(`${prefix}layers.${layer}.${name}.weight`, [width]);
  tensors.set(`${prefix}norm.weight`, [hidden]);
  if (!tiedEmbeddings) tensors.set('lm_head.weight', [vocab, hidden]);
  return tensors;
}

/**
 * Parses config.json. Throws LowrankError base_model_unsupported for architectures and settings that the kernel library does not
 * train, base_model_invalid for missing or impossible sizes.
 */
export function parseModelConfig(value: unknown): ModelConfig {
  const whole = (value ?? {}) as Record<string, unknown>;
  const modelType = supportedModelTypes.find((type) => type === whole.model_type);
  if (modelType === undefined) {
    throw unsupported(
      `model_type ${JSON.stringify(whole.model_type)?.slice(0, 80)} is not supported; supported: ${supportedModelTypes.join(', ')}`,
    );
  }
  const quantization = checkpointQuantization(whole);
  const architecture = architectures[modelType];
  const text = architecture.nested
    ? { ...(whole.text_config as object), tie_word_embeddings: whole.tie_word_embeddings ?? true }
    : whole;
  const parsed = configSchema.safeParse(withDefaults(text, architecture));
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new LowrankError(
      'base_model_invalid',
      `config.json: ${details[0]?.path} ${details[0]?.message}`,
      details,
    );
  }
  const config = parsed.data;
  checkSupport(config, architecture, modelType);
  checkHeads(config);
  const { prefix, older } = architecture.nested ?? { prefix: '', older: '' };
  const decoder = decoderOf(config, architecture, quantization);
  return {
    modelType,
    quantization,
    vocabSize: config.vocab_size,
    contextLength: contextLength(config, architecture),
    decoder,
    tensors: expectedTensors(decoder, config.vocab_size),
    olderName: (name) =>
      !older ? name : name.startsWith(prefix) ? older + name.slice(prefix.length) : `language_model.${name}`,
  };
}
