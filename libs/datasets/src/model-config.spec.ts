import { LowrankError } from '@lowrank/contracts';
import { tinyConfig, tinyTensors } from '@lowrank/testing';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseModelConfig } from './model-config';

const fixtures = join(__dirname, '../../kernels/test/fixtures');
const bytesBefore = 8;

/** name → shape of all safetensors of a fixture. */
function shapesOf(folder: string): Record<string, number[]> {
  const shapes: Record<string, number[]> = {};
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.safetensors'))) {
    const bytes = readFileSync(join(folder, name));
    const end = bytesBefore + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', bytesBefore, end)) as Record<
      string,
      { shape: number[] }
    >;
    for (const [tensor, { shape }] of Object.entries(header))
      if (tensor !== '__metadata__') shapes[tensor] = shape;
  }
  return shapes;
}

function refusal(config: unknown): LowrankError {
  try {
    parseModelConfig(config);
  } catch (error) {
    if (error instanceof LowrankError) return error;
    throw error;
  }
  throw new Error('expected a LowrankError');
}

describe('the tensors of a model', () => {
  it.each(['llama', 'llama3-rope', 'qwen2', 'gemma2', 'gemma3', 'phi3'])(
    'are those that transformers wrote for %s',
    (name) => {
      const folder = join(fixtures, name);
      const config = parseModelConfig(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')));
      const expected = [...config.tensors].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(expected).toEqual(Object.entries(shapesOf(folder)).sort(([a], [b]) => (a < b ? -1 : 1)));
    },
  );

  it('are those of the tiny model', () => {
    const shapes = Object.entries(tinyTensors()).map(([name, { shape }]) => [name, shape]);
    expect(Object.fromEntries(parseModelConfig(tinyConfig).tensors)).toEqual(Object.fromEntries(shapes));
  });

  it.each([
    [{ attention_bias: true }, ['q_proj', 'k_proj', 'v_proj', 'o_proj']],
    [{ mlp_bias: true }, ['gate_proj', 'up_proj', 'down_proj']],
    [{ model_type: 'qwen2', attention_bias: true, mlp_bias: true }, ['q_proj', 'k_proj', 'v_proj']],
    [{}, []],
  ])('have biases as %j says', (changes, biased) => {
    const { tensors } = parseModelConfig({ ...tinyConfig, num_hidden_layers: 1, ...changes });
    const names = [...tensors.keys()].filter((name) => name.endsWith('.bias'));
    expect(names.map((name) => name.split('.').at(-2))).toEqual(biased);
  });

  it('follow head_dim and the number of key-value heads', () => {
    const config = { ...tinyConfig, head_dim: 6, num_key_value_heads: null, tie_word_embeddings: false };
    const { tensors } = parseModelConfig(config);
    expect(tensors.get('model.layers.0.self_attn.k_proj.weight')).toEqual([24, 32]);
    expect(tensors.get('model.layers.1.self_attn.o_proj.weight')).toEqual([32, 24]);
    expect(tensors.get('lm_head.weight')).toEqual([259, 32]);
  });
});

describe('parseModelConfig', () => {
  it.each<[unknown, RegExp]>([
    [null, /model_type/],
    ['llama', /model_type/],
    [
      { ...tinyConfig, model_type: undefined },
      /model_type undefined is not supported; supported: llama, mistral, qwen2/,
    ],
    [{ ...tinyConfig, model_type: 'mamba' }, /model_type "mamba"/],
    [{ ...tinyConfig, model_type: ['llama'] }, /model_type \["llama"\]/],
    [{ ...tinyConfig, quantization_config: { quant_method: 'gptq' } }, /quantized by 'gptq'/],
    [{ ...tinyConfig, hidden_act: 'gelu' }, /activation 'gelu'/],
    [{ ...tinyConfig, rope_scaling: { type: 'proportional' } }, /RoPE type 'proportional'/],
    [{ ...tinyConfig, partial_rotary_factor: 0.5 }, /partial rotary/],
    [{ ...tinyConfig, attention_dropout: 0.1 }, /'attention_dropout' is set/],
    [{ ...tinyConfig, layer_types: ['chunked_attention'] }, /layer type 'chunked_attention'/],
  ])('refuses as unsupported %j', (config, message) => {
    const { code, message: said } = refusal(config);
    expect([code, said]).toEqual(['base_model_unsupported', expect.stringMatching(message)]);
    expect(said).toMatch(/^config\.json/);
  });

  it.each<[object, RegExp]>([
    [{ vocab_size: undefined }, /vocab_size/],
    [{ hidden_size: 0 }, /hidden_size/],
    [{ hidden_size: '32' }, /hidden_size/],
    [{ intermediate_size: -1 }, /intermediate_size/],
    [{ num_hidden_layers: 1.5 }, /num_hidden_layers/],
    [{ num_hidden_layers: 1e9 }, /num_hidden_layers/],
    [{ rope_scaling: 'yarn' }, /rope_scaling/],
    [
      { num_attention_heads: 5, num_key_value_heads: 5 },
      /hidden_size 32 is no multiple of num_attention_heads 5/,
    ],
    [{ num_attention_heads: 32, num_key_value_heads: 32 }, /head_dim 1 is odd/],
    [{ head_dim: 7 }, /head_dim 7 is odd/],
    [{ num_key_value_heads: 3 }, /num_attention_heads 4 is no multiple of num_key_value_heads 3/],
    [{ num_key_value_heads: 8 }, /no multiple of num_key_value_heads 8/],
  ])('refuses as impossible %j', (changes, message) => {
    const { code, message: said } = refusal({ ...tinyConfig, ...changes });
    expect([code, said]).toEqual(['base_model_invalid', expect.stringMatching(message)]);
    expect(said).toMatch(/^config\.json: /);
  });

  it.each<object>([
    {},
    { hidden_act: 'swish' },
    { quantization_config: null },
    { rope_scaling: { rope_type: 'llama3' } },
    { rope_scaling: null, rope_parameters: { rope_type: 'default' } },
    { model_type: 'qwen2', use_sliding_window: false },
    { num_attention_heads: 5, num_key_value_heads: 1, head_dim: 8 },
    { rope_scaling: { type: 'yarn', factor: 4 } },
    { model_type: 'qwen2', use_sliding_window: true, sliding_window: 16, max_window_layers: 1 },
  ])('takes %j', (changes) =>
    expect(parseModelConfig({ ...tinyConfig, ...changes })).toMatchObject({
      vocabSize: 259,
      quantization: null,
    }),
  );

  it('tells what bitsandbytes has made of the weights', () => {
    const quantization_config = { quant_method: 'bitsandbytes', load_in_8bit: true };
    expect(parseModelConfig({ ...tinyConfig, quantization_config }).quantization).toEqual({
      quantization: 'int8',
      doubleQuantization: false,
    });
  });
});

it.each([
  [{}, 256],
  [{ max_position_embeddings: null }, 2048],
  [{ model_type: 'qwen2', max_position_embeddings: null }, 32_768],
  [{ rope_scaling: { type: 'yarn', factor: 4 } }, 1024],
])('contextLength of %j is %i', (changes, length) =>
  expect(parseModelConfig({ ...tinyConfig, ...changes }).contextLength).toBe(length),
);
