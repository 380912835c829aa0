import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Numbers in [-1, 1) of a fixed stream (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1;
  };
}

export const tinyConfig = {
  model_type: 'llama',
  vocab_size: 61,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 1000,
  tie_word_embeddings: false,
};

/** Bytes of a safetensors file of float32 tensors. */
export function safetensors(tensors: Record<string, { shape: number[]; values: Float32Array }>): Buffer {
  const header: Record<string, unknown> = {};
  let at = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + values.byteLength] };
    at += values.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([
    size,
    json,
    ...Object.values(tensors).map(({ values }) => Buffer.from(values.buffer)),
  ]);
}

/** Writes a llama of random weights as a Hugging Face folder; returns the folder. */
export function writeTinyModel(folder: string): string {
  const next = numbers(1);
  const { vocab_size: vocab, hidden_size: d, intermediate_size: f, num_hidden_layers: layers } = tinyConfig;
  const tensors: Parameters<typeof safetensors>[0] = {};
  const add = (name: string, shape: number[], scale: number, centre = 0): void => {
    const count = shape.reduce((product, size) => product * size, 1);
    tensors[name] = { shape, values: Float32Array.from({ length: count }, () => centre + scale * next()) };
  };
  add('model.embed_tokens.weight', [vocab, d], 1);
  for (let layer = 0; layer < layers; layer += 1) {
    const prefix = `model.layers.${layer}`;
    add(`${prefix}.input_layernorm.weight`, [d], 0.2, 1);
    add(`${prefix}.post_attention_layernorm.weight`, [d], 0.2, 1);
    add(`${prefix}.self_attn.q_proj.weight`, [d, d], 0.3);
    add(`${prefix}.self_attn.k_proj.weight`, [d / 2, d], 0.3);
    add(`${prefix}.self_attn.v_proj.weight`, [d / 2, d], 0.3);
    add(`${prefix}.self_attn.o_proj.weight`, [d, d], 0.3);
    add(`${prefix}.mlp.gate_proj.weight`, [f, d], 0.3);
    add(`${prefix}.mlp.up_proj.weight`, [f, d], 0.3);
    add(`${prefix}.mlp.down_proj.weight`, [d, f], 0.3);
  }
  add('model.norm.weight', [d], 0.2, 1);
  add('lm_head.weight', [vocab, d], 0.4);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(tinyConfig));
  writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  return folder;
}
