import { recipeSchema, type RecipeInput } from '@lowrank/contracts';
import { openKernels, type Base, type Kernels, type PackedBatch } from '@lowrank/kernels';
import { writeTinyModel } from '@lowrank/testing';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adapterConfig, adapterWeights, loadAdapter } from './peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-config';
import { adapterSpec } from './targets';

let root: string;
let kernels: Kernels;
let base: Base;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-peft-'));
  await writeTinyModel(join(root, 'model'));
  kernels = openKernels({ threads: 1, compute: 'f32' });
  await kernels.quantizeBase(join(root, 'model'), join(root, 'base'));
  base = await kernels.openBase(join(root, 'base'));
});
afterAll(async () => {
  base.close();
  kernels.close();
  await rm(root, { recursive: true });
});

const tokens = Int32Array.from({ length: 24 }, (_, i) => (i * 7) % 50);
const batch: PackedBatch = {
  tokens,
  targets: tokens.map((_, i) => (i * 11) % 50),
  starts: Int32Array.of(0, 10, 24),
};
const rows = (adapter: ReturnType<Base['createAdapter']>) => [
  { adapter, begin: 0, end: tokens.length, lossScale: 1 / 24 },
];

/** Trains three steps of a recipe and writes the adapter. */
async function publish(lora: RecipeInput['lora'], optimizer: RecipeInput['optimizer'] = {}) {
  const recipe = recipeSchema.parse({ lora, optimizer: { learningRate: 0.02, ...optimizer } });
  const adapter = base.createAdapter(adapterSpec(base.info.linears, recipe));
  for (let step = 0; step < 3; step += 1) {
    await base.trainStep(batch, rows(adapter));
    await adapter.optimizerStep({ ...recipe.optimizer, bRateRatio: recipe.optimizer.loraPlusRatio });
  }
  const config = adapterConfig(base, recipe, 'owner/model', 'main');
  await writeFile(join(root, ADAPTER_CONFIG), config);
  await writeFile(join(root, ADAPTER_WEIGHTS), adapterWeights(adapter));
  return { adapter, config: JSON.parse(config) as Record<string, unknown> };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - (b[i] as number))), 0);
}

describe('an adapter folder', () => {
  const recipes: [string, RecipeInput['lora'], RecipeInput['optimizer']][] = [
    ['LoRA', {}, {}],
    [
      'rsLoRA with patterns',
      { rsLora: true, rank: 4, rankPattern: { q_proj: 2 }, alphaPattern: { v_proj: 3 } },
      {},
    ],
    ['DoRA', { dora: true, rank: 4 }, {}],
    ['PiSSA', { init: 'pissa', rank: 4 }, {}],
    ['PiSSA, scaled by the root', { init: 'pissa', rank: 4, rsLora: true, alphaPattern: { up_proj: 5 } }, {}],
    ['LoRA+ in 8 bits', { rank: 64 }, { name: 'adamw8bit', loraPlusRatio: 4 }],
  ];
  it.each(recipes)('of %s loads as what was trained', async (_title, lora, optimizer) => {
    const { adapter } = await publish(lora, optimizer);
    const loaded = await loadAdapter(base, root);
    const [ours, theirs] = [await base.logits(batch, rows(adapter)), await base.logits(batch, rows(loaded))];
    const bare = await base.logits(batch, [{ adapter: null, begin: 0, end: tokens.length }]);
    expect(largestDifference(ours, theirs)).toBeLessThan(1e-3);
    expect(largestDifference(ours, bare)).toBeGreaterThan(0.05);
    adapter.close();
    loaded.close();
  });

  it('says what PEFT has to know', async () => {
    const { adapter, config } = await publish({
      rank: 4,
      alpha: 6,
      targets: ['q_proj', 'k_proj'],
      exclude: ['k_proj'],
      layers: [1],
      dora: true,
    });
    expect(config).toMatchObject({
      r: 4,
      lora_alpha: 6,
      target_modules: ['k_proj', 'q_proj'],
      exclude_modules: ['k_proj'],
      layers_to_transform: [1],
      use_dora: true,
      bias: 'none',
    });
    expect(adapter.tensors.map(({ module, role }) => `${module}.${role}`)).toEqual([
      'model.layers.1.self_attn.q_proj.lora_A',
      'model.layers.1.self_attn.q_proj.lora_B',
      'model.layers.1.self_attn.q_proj.lora_magnitude_vector',
    ]);
    adapter.close();
  });

  it('of PiSSA is LoRA of twice the rank and the same scale', async () => {
    const { adapter, config } = await publish({
      init: 'pissa',
      rank: 4,
      alpha: 6,
      rankPattern: { q_proj: 3 },
    });
    expect(config).toMatchObject({
      r: 8,
      lora_alpha: 12,
      rank_pattern: { q_proj: 6 },
      init_lora_weights: true,
    });
    const header = (await readFile(join(root, ADAPTER_WEIGHTS))).toString('latin1', 8, 4000);
    expect(header).toContain(
      '"base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight":{"dtype":"F32","shape":[8,',
    );
    expect(header).not.toContain('initial');
    adapter.close();
  });

  it('has to fit: biases that the base lacks are refused', async () => {
    expect(() => adapterSpec(base.info.linears, recipeSchema.parse({ lora: { bias: 'all' } }))).toThrow(
      /lora\.bias: 'all' means no bias/,
    );
    const { adapter, config } = await publish({ rank: 4 });
    adapter.close();
    await writeFile(join(root, ADAPTER_CONFIG), JSON.stringify({ ...config, use_dora: true }));
    await expect(loadAdapter(base, root)).rejects.toThrow(/lora_magnitude_vector has shape \[none\]/);
  });
});
