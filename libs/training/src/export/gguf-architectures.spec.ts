import { type LowrankError } from '@lowrank/contracts';
import { parseModelConfig } from '@lowrank/datasets';
import { tinyConfig } from '@lowrank/testing';
import { ggufModel } from './gguf-architectures';

const modelOf = (changes: Record<string, unknown>) => {
  const config = { ...tinyConfig, ...changes };
  return ggufModel(parseModelConfig(config), config);
};
const gemma3 = (changes: Record<string, unknown>) =>
  modelOf({
    model_type: 'gemma3_text',
    head_dim: 8,
    query_pre_attn_scalar: 8,
    num_hidden_layers: 6,
    sliding_window: 16,
    ...changes,
  });

describe('models in GGUF', () => {
  it.each<[string, () => unknown]>([
    ['dynamic RoPE', () => modelOf({ rope_parameters: { rope_type: 'dynamic', factor: 2 } })],
    [
      "yarn that isn't plain",
      () =>
        modelOf({
          rope_parameters: {
            rope_type: 'yarn',
            factor: 2,
            beta_fast: 8,
            original_max_position_embeddings: 64,
          },
        }),
    ],
    [
      'llama3 RoPE of another architecture',
      () => modelOf({ model_type: 'qwen2', rope_parameters: { rope_type: 'llama3', factor: 8 } }),
    ],
    [
      'biases that readers do not know',
      () => modelOf({ model_type: 'qwen3', head_dim: 8, attention_bias: true }),
    ],
    ['gemma with another scale', () => gemma3({ query_pre_attn_scalar: 9 })],
    ['gemma with windows elsewhere', () => gemma3({ layer_types: Array(6).fill('full_attention') })],
    ['gemma with another RoPE in its windows', () => gemma3({ rope_local_base_freq: 500 })],
  ])('refuses %s', (_, make) => {
    let error: unknown;
    try {
      make();
    } catch (caught) {
      error = caught;
    }
    expect((error as LowrankError).code).toBe('export_unsupported');
    expect((error as LowrankError).message).toMatch(
      /^GGUF: .*formats 'merged' and the adapter itself have it$/,
    );
  });

  it('ends the context where the model has a window and readers have none', () => {
    const contextOf = (changes: Record<string, unknown>, arch: string) =>
      modelOf(changes).metadata.get(`${arch}.context_length`)?.value;
    expect(contextOf({ model_type: 'mistral', sliding_window: 64 }, 'llama')).toBe(64);
    expect(contextOf({ model_type: 'mistral', sliding_window: null }, 'llama')).toBe(256);
    expect(contextOf({ model_type: 'qwen2', sliding_window: 64 }, 'qwen2')).toBe(256);
    expect(contextOf({ model_type: 'qwen2', sliding_window: 64, use_sliding_window: true }, 'qwen2')).toBe(
      64,
    );
    expect(gemma3({}).metadata.get('gemma3.context_length')?.value).toBe(256);
  });

  it('arranges rows and norms, and takes that back', () => {
    const name = 'model.layers.0.self_attn.q_proj.weight';
    const values = Float32Array.from({ length: 16 }, (_, i) => i);
    const arranged = values.slice();
    modelOf({}).arrange(name, arranged, 16);
    expect([...arranged.subarray(0, 8)]).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
    modelOf({}).arrange(name, arranged, 16, true);
    expect(arranged).toEqual(values);
    const norm = Float32Array.of(0.5, -1);
    gemma3({}).arrange('model.norm.weight', norm, 2);
    expect([...norm]).toEqual([1.5, 0]);
  });
});
