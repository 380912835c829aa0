import { LowrankError, supportedModelTypes } from '@lowrank/contracts';
import { z } from 'zod';
import { checkpointQuantization } from './quantized-checkpoint';

const size = z.int().positive();

/** The members of config.json that decide shapes and support; others are the kernel library's business. */
const configSchema = z.object({
  model_type: z.string(),
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size.max(4096),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size.nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  hidden_act: z.string().nullish(),
  use_sliding_window: z.boolean().nullish(),
  quantization_config: z.unknown().optional(),
  rope_scaling: z.object({ rope_type: z.string().nullish(), type: z.string().nullish() }).nullish(),
  rope_parameters: z.object({ rope_type: z.string().nullish(), type: z.string().nullish() }).nullish(),
});
export type ModelConfig = z.output<typeof configSchema>;

function unsupported(message: string): LowrankError {
  return new LowrankError('base_model_unsupported', `config.json: ${message}`);
}

/** Attention heads as the kernel library can lay them out; a model that it refuses must not be imported. */
function checkHeads(config: ModelConfig): void {
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

/**
 * Parses config.json. Throws LowrankError base_model_unsupported for architectures and settings that the kernel library does not
 * train, base_model_invalid for missing or impossible sizes.
 */
export function parseModelConfig(value: unknown): ModelConfig {
  const modelType = (value as { model_type?: unknown } | null)?.model_type;
  if (!(supportedModelTypes as readonly unknown[]).includes(modelType)) {
    throw unsupported(
      `model_type ${JSON.stringify(modelType)?.slice(0, 80)} is not supported; supported: ${supportedModelTypes.join(', ')}`,
    );
  }
  const parsed = configSchema.safeParse(value);
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
    throw new LowrankError(
      'base_model_invalid',
      `config.json: ${details[0]?.path} ${details[0]?.message}`,
      details,
    );
  }
  const config = parsed.data;
  checkpointQuantization(config); // refuses what is not bitsandbytes' or not known
  if (!['silu', 'swish'].includes(config.hidden_act ?? 'silu'))
    throw unsupported(`hidden_act '${config.hidden_act}' is not supported; supported: silu`);
  checkHeads(config);
  const rope = config.rope_parameters ?? config.rope_scaling;
  const ropeType = rope?.rope_type ?? rope?.type ?? 'default';
  if (ropeType !== 'default' && ropeType !== 'llama3')
    throw unsupported(`RoPE type '${ropeType}' is not supported; supported: default, llama3`);
  if (config.model_type === 'qwen2' && config.use_sliding_window === true)
    throw unsupported('sliding-window attention is not supported; set use_sliding_window to false');
  return config;
}

/** Tensors that the weights of this model have to hold: name → shape. */
export function expectedTensors(config: ModelConfig): Map<string, number[]> {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocab } = config;
  const headDim = config.head_dim ?? hidden / config.num_attention_heads;
  const q = config.num_attention_heads * headDim;
  const kv = (config.num_key_value_heads ?? config.num_attention_heads) * headDim;
  const qwen = config.model_type === 'qwen2';
  const qkvBias = qwen || config.attention_bias === true;
  const oBias = !qwen && config.attention_bias === true;
  const mlpBias = !qwen && config.mlp_bias === true;

  const tensors = new Map<string, number[]>([['model.embed_tokens.weight', [vocab, hidden]]]);
  const linear = (name: string, out: number, inputs: number, bias: boolean) => {
    tensors.set(`${name}.weight`, [out, inputs]);
    if (bias) tensors.set(`${name}.bias`, [out]);
  };
  for (let layer = 0; layer < config.num_hidden_layers; layer += 1) {
    const prefix = `model.layers.${layer}`;
    linear(`${prefix}.self_attn.q_proj`, q, hidden, qkvBias);
    linear(`${prefix}.self_attn.k_proj`, kv, hidden, qkvBias);
    linear(`${prefix}.self_attn.v_proj`, kv, hidden, qkvBias);
    linear(`${prefix}.self_attn.o_proj`, hidden, q, oBias);
    linear(`${prefix}.mlp.gate_proj`, inner, hidden, mlpBias);
    linear(`${prefix}.mlp.up_proj`, inner, hidden, mlpBias);
    linear(`${prefix}.mlp.down_proj`, hidden, inner, mlpBias);
    tensors.set(`${prefix}.input_layernorm.weight`, [hidden]);
    tensors.set(`${prefix}.post_attention_layernorm.weight`, [hidden]);
  }
  tensors.set('model.norm.weight', [hidden]);
  if (config.tie_word_embeddings !== true) tensors.set('lm_head.weight', [vocab, hidden]);
  return tensors;
}

/** Longest sequence, in tokens; the defaults are those of transformers' LlamaConfig and Qwen2Config. */
export function contextLength(config: ModelConfig): number {
  return config.max_position_embeddings ?? (config.model_type === 'llama' ? 2048 : 32_768);
}
