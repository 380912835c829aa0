/** What an import accepts and what the kernel library trains are written down twice; here they have to agree. */
import { linearLayers, supportedModelTypes } from '@lowrank/contracts';
import { parseModelConfig } from '@lowrank/datasets';
import { openKernels, type Kernels } from '@lowrank/kernels';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { configOf as configOfType, writeModel as writeModelIn } from '../test/models';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-architectures-'));
let kernels: Kernels;

beforeAll(() => {
  kernels = openKernels({ threads: 1 });
});
afterAll(() => {
  kernels.close();
  rmSync(folder, { recursive: true });
});

const sizes = {
  vocab_size: 61,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
};

const configOf = (modelType: string, members: object = {}) =>
  configOfType(modelType, { ...sizes, ...members });
const writeModel = (name: string, config: object, rename?: (tensor: string) => string) =>
  writeModelIn(join(folder, name), config, rename);

const accepted: [string, object][] = [
  ...supportedModelTypes.map((type): [string, object] => [type, {}]),
  ['llama', { attention_bias: true, mlp_bias: true, head_dim: 10, tie_word_embeddings: true }],
  ['llama', { max_position_embeddings: 100, rope_scaling: { type: 'dynamic', factor: 2.5 } }],
  ['qwen2', { rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 32_768 } }],
  ['qwen3', { attention_bias: true, head_dim: null, use_sliding_window: true }],
  ['gemma2', { attention_bias: true, tie_word_embeddings: false, hidden_activation: 'silu' }],
  ['gemma3_text', { rope_scaling: { rope_type: 'linear', factor: 8 } }],
  [
    'phi3',
    { partial_rotary_factor: 0.5, rope_scaling: { type: 'su', short_factor: [1, 1], long_factor: [1, 2] } },
  ],
];

const refused: [string, object][] = [
  ['mamba', {}],
  ['llama', { quantization_config: { quant_method: 'gptq' } }],
  ['llama', { hidden_act: 'relu' }],
  ['llama', { attention_dropout: 0.1 }],
  ['llama', { partial_rotary_factor: 0.5 }],
  ['llama', { rope_scaling: { type: 'proportional' } }],
  ['qwen2', { rope_scaling: { type: 'default', mrope_section: [1, 2, 3] } }],
  ['qwen3', { layer_types: ['full_attention', 'chunked_attention'] }],
  ['gemma2', { use_bidirectional_attention: true }],
  ['gemma3_text', { attn_logit_softcapping: 50 }],
  ['mistral', { layer_types: ['full_attention', 'sliding_attention'] }],
  ['gemma3', { final_logit_softcapping: 30 }],
  ['phi3', { resid_pdrop: 0.1 }],
  ['phi3', { rope_scaling: { type: 'linear', factor: 2 } }],
];

describe('import and kernel library', () => {
  it('support the same model types', async () => {
    const model = writeModel('other', configOf('llama'));
    writeFileSync(join(model, 'config.json'), JSON.stringify(configOf('mamba')));
    const error = await kernels.quantizeBase(model, join(folder, 'other.lrb')).catch((e: Error) => e);
    const [, list] = /supported: (.*)$/.exec((error as Error).message) ?? [];
    expect(list?.split(', ')).toEqual([...supportedModelTypes]);
  });

  it.each(accepted)('ask for the same tensors and positions: %s %j', async (modelType, members) => {
    const config = configOf(modelType, members);
    const file = join(folder, 'base.lrb');
    await kernels.quantizeBase(writeModel('model', config), file);
    const base = await kernels.openBase(file);
    const { contextLength, decoder, tensors } = parseModelConfig(config);
    expect(base.info.maxPositions).toBe(contextLength);
    expect(base.info.linears.map(({ storage: _, ...linear }) => linear)).toEqual(linearLayers(decoder));
    const elements = [...tensors.values()].map((shape) => shape.reduce((product, size) => product * size, 1));
    expect(base.info.parameters).toBe(elements.reduce((sum, count) => sum + count, 0));
    base.close();
  });

  it('know the older names of gemma3', async () => {
    const config = configOf('gemma3', { num_hidden_layers: 1 });
    const { olderName } = parseModelConfig(config);
    await kernels.quantizeBase(writeModel('older', config, olderName), join(folder, 'older.lrb'));
  });

  it.each(refused)('refuse the same: %s %j', async (modelType, members) => {
    const config = configOf(modelType, members);
    expect(() => parseModelConfig(config)).toThrow(
      expect.objectContaining({ code: 'base_model_unsupported' }),
    );
    const model = writeModel('refused', configOf('llama'));
    writeFileSync(join(model, 'config.json'), JSON.stringify(config));
    await expect(kernels.quantizeBase(model, join(folder, 'refused.lrb'))).rejects.toMatchObject({
      status: 'unsupported_model',
    });
  });
});
