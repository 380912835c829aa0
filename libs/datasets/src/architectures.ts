import { type supportedModelTypes } from '@lowrank/contracts';

type Settings = Readonly<Record<string, unknown>>;

/** How an architecture differs from Llama, as far as an import has to know; the kernel library has the same facts in
 * src/native/model/architectures. */
export interface Architecture {
  /** What transformers' configuration class assumes where config.json is silent. */
  defaults: Readonly<Record<string, number | boolean | string>>;
  /** Which linear layers have biases. */
  biases: (config: Settings) => { qkv: boolean; o: boolean; mlp: boolean };
  /** q, k, v in one linear layer, gate and up in another. */
  fused?: true;
  /** Norms over head_dim on queries and keys. */
  qkNorms?: true;
  /** Norms on the outputs of attention and MLP. */
  outputNorms?: true;
  /** Rotary embeddings, where there is more than one: layers with a window have their own. */
  ropes?: 2;
  /** The same window, or none, on all layers: layer_types cannot say otherwise. */
  uniformWindows?: true;
  /** Only default and longrope, the latter under older names too; part of a head may turn. */
  longrope?: true;
  /** Settings that change the result and that the kernel library does not know. */
  refused?: readonly string[];
  /** The language model lies in text_config, its tensors under this prefix. */
  nested?: { prefix: string; older: string };
}

const none = () => ({ qkv: false, o: false, mlp: false });
const attention = (config: Settings) => {
  const bias = config.attention_bias === true;
  return { qkv: bias, o: bias, mlp: false };
};

const gemma = {
  max_position_embeddings: 131_072,
  vocab_size: 262_208,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  hidden_act: 'gelu_pytorch_tanh',
  tie_word_embeddings: true,
};
const gemma3Refused = ['use_bidirectional_attention', 'attn_logit_softcapping'];
const gemma3: Architecture = {
  defaults: gemma,
  biases: attention,
  qkNorms: true,
  outputNorms: true,
  ropes: 2,
  refused: gemma3Refused,
};

export const architectures: Record<(typeof supportedModelTypes)[number], Architecture> = {
  llama: {
    defaults: { max_position_embeddings: 2048 },
    biases: (config) => ({ ...attention(config), mlp: config.mlp_bias === true }),
  },
  mistral: {
    defaults: { max_position_embeddings: 131_072, num_key_value_heads: 8 },
    biases: none,
    uniformWindows: true,
  },
  qwen2: {
    defaults: { max_position_embeddings: 32_768 },
    biases: () => ({ qkv: true, o: false, mlp: false }),
  },
  qwen3: { defaults: { max_position_embeddings: 32_768, head_dim: 128 }, biases: attention, qkNorms: true },
  gemma2: {
    defaults: { ...gemma, max_position_embeddings: 8192, vocab_size: 256_000 },
    biases: attention,
    outputNorms: true,
    refused: ['use_bidirectional_attention'],
  },
  gemma3: {
    ...gemma3,
    refused: [...gemma3Refused, 'final_logit_softcapping'],
    nested: { prefix: 'model.language_model.', older: 'language_model.model.' },
  },
  gemma3_text: gemma3,
  phi3: {
    defaults: { max_position_embeddings: 4096, original_max_position_embeddings: 4096 },
    biases: none,
    fused: true,
    uniformWindows: true,
    longrope: true,
    refused: ['resid_pdrop', 'embd_pdrop'],
  },
};
