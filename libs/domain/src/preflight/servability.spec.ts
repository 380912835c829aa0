import { type Decoder, type RecipeInput, recipeSchema, type Servability } from '@lowrank/contracts';
import { servabilityOf } from './servability';

const decoder: Decoder = {
  prefix: 'model.',
  layers: 2,
  hidden: 64,
  intermediate: 96,
  heads: 4,
  kvHeads: 2,
  headDim: 16,
  tiedEmbeddings: true,
  fused: false,
  qkNorms: false,
  outputNorms: false,
  biases: { qkv: true, o: false, mlp: false },
  ropes: 1,
  dtype: 'F32',
  quantization: null,
};
type Lora = RecipeInput['lora'];
const of = (lora: Lora, modelType = 'llama', known: Decoder | null = decoder): Servability =>
  servabilityOf(recipeSchema.parse({ lora }), { modelType, decoder: known });

/** Servers as letters: P(EFT), v(LLM), X of LoRAX, c of llama.cpp. */
const letters = ({ peft, vllm, lorax, llamaCpp }: Servability): string =>
  [peft, vllm, lorax, llamaCpp].map(({ servable }, i) => (servable ? 'PvXc'[i] : '-')).join('');

describe('plain LoRA', () => {
  it('loads everywhere', () => {
    expect(of({})).toEqual({
      peft: { servable: true, reason: null },
      vllm: { servable: true, reason: null },
      lorax: { servable: true, reason: null },
      llamaCpp: { servable: true, reason: 'after convert_lora_to_gguf.py' },
    });
  });

  it.each([
    ['llama', 'PvXc'],
    ['mistral', 'PvXc'],
    ['qwen2', 'PvXc'],
    ['gemma2', 'PvXc'],
    ['phi3', 'PvXc'],
    ['qwen3', 'Pv-c'],
    ['gemma3', 'Pv-c'],
    ['gemma3_text', 'Pv-c'],
  ])('of %s loads in %s', (modelType, expected) => expect(letters(of({}, modelType))).toBe(expected));
});

it.each<[string, Lora, string]>([
  ['DoRA', { dora: true }, 'P---'],
  ['biases', { bias: 'lora_only' }, 'P---'],
  ['rsLoRA', { rsLora: true }, 'PvXc'],
  ['PiSSA', { init: 'pissa' }, 'PvXc'],
  ['PiSSA with rsLoRA', { init: 'pissa', rsLora: true }, 'PvXc'],
  ['ranks with the scale that goes with them', { rankPattern: { q_proj: 8 } }, 'P--c'],
  ['ranks and alphas of one scale', { rankPattern: { q_proj: 8 }, alphaPattern: { q_proj: 16 } }, 'Pv--'],
  ['another alpha for some', { alphaPattern: { q_proj: 8 } }, 'P---'],
  ['an alpha for all', { alpha: 5 }, 'PvXc'],
  ['a rank that LoRAX pads', { rank: 12 }, 'Pv-c'],
  ['rank 8', { rank: 8 }, 'PvXc'],
  ['some layers', { layers: [1] }, 'Pv-c'],
  ['some kinds of layers', { targets: ['q_proj', 'v_proj'] }, 'PvXc'],
  ['different ranks with rsLoRA', { rsLora: true, rankPattern: { q_proj: 32 } }, 'P---'],
])('%s: %j is served by %s', (_title, lora, expected) => expect(letters(of(lora))).toBe(expected));

it('says what a server has to be told', () => {
  expect(of({ rank: 48 }).vllm).toEqual({ servable: true, reason: 'start it with --max-lora-rank 64' });
  // Published with twice the rank.
  expect(of({ rank: 256, init: 'pissa' }).vllm.reason).toMatch(/--max-lora-rank 512$/);
  expect(of({ rank: 256 }).lorax).toMatchObject({
    servable: true,
    reason: expect.stringMatching(/above rank 128/),
  });
  expect(of({ rank: 16, rsLora: true }).llamaCpp.reason).toMatch(/--lora-scaled FILE 4:/);
  expect(of({ rank: 8, rsLora: true, init: 'pissa' }).llamaCpp.reason).toMatch(/--lora-scaled FILE 4:/);
});

it('goes by the patterns alone where the layers are not known', () => {
  const unknown = (lora: Lora) => letters(of(lora, 'llama', null));
  expect(unknown({})).toBe('PvXc');
  expect(unknown({ layers: [0] })).toBe('Pv-c');
  expect(unknown({ rankPattern: { q_proj: 8 } })).toBe('P--c');
  expect(unknown({ alphaPattern: { q_proj: 8 } })).toBe('P---');
});
