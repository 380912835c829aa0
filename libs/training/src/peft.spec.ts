import { type Adapter } from '@lowrank/kernels';
import { codeOf, makeRecipe } from '@lowrank/testing';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeSequence, openTiny, safetensorsOf, type Tiny } from '../test/tiny';
import { adapterBytes, adapterConfig, adapterWeights, loadAdapter } from './peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from './peft-config';
import { readSafetensors, type NamedTensor } from './safetensors';
import { toBatch } from './sequences';

let tiny: Tiny;
let folder: string;
const recipe = makeRecipe({ lora: { rank: 4, alpha: 8, dropout: 0.1 } });
const config = (): Record<string, unknown> =>
  JSON.parse(adapterConfig(tiny.base, recipe, 'owner/name', 'abc')) as Record<string, unknown>;

async function write(weights: Uint8Array, changes: Record<string, unknown> = {}): Promise<void> {
  await writeFile(join(folder, ADAPTER_WEIGHTS), weights);
  await writeFile(join(folder, ADAPTER_CONFIG), JSON.stringify({ ...config(), ...changes }));
}

async function withAdapter<T>(
  use: (adapter: Adapter) => T | Promise<T>,
  options?: { only?: string },
): Promise<T> {
  const adapter = tiny.adapter(options);
  try {
    return await use(adapter);
  } finally {
    adapter.close();
  }
}

/** Tensors of an adapter's file. */
async function tensorsOf(adapter: Adapter): Promise<NamedTensor[]> {
  await write(adapterWeights(adapter));
  return readSafetensors(join(folder, ADAPTER_WEIGHTS), 'x');
}

/** To nearest, ties to even. */
const roundedToBf16 = (value: number): number => {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = ((bits[0] as number) + 0x7fff + (((bits[0] as number) >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0] as number;
};

async function lossOf(adapter: Adapter): Promise<number> {
  const batch = toBatch([makeSequence(20)], [[0]]);
  const [loss] = await tiny.base.evalStep(batch, [{ adapter, begin: 0, end: 20 }]);
  return loss?.sum as number;
}

beforeAll(async () => {
  tiny = await openTiny();
});
beforeEach(async () => {
  folder = join(tiny.folder, 'adapter');
  await mkdir(folder);
});
afterEach(() => rm(folder, { recursive: true }));
afterAll(() => tiny.close());

describe('adapter_config.json', () => {
  it("holds PEFT's fields, sorted", () => {
    const text = adapterConfig(tiny.base, recipe, 'owner/name', 'abc');
    expect(JSON.parse(text)).toEqual({
      alpha_pattern: {},
      base_model_name_or_path: 'owner/name',
      bias: 'none',
      exclude_modules: null,
      fan_in_fan_out: false,
      inference_mode: true,
      init_lora_weights: true,
      layers_pattern: null,
      layers_to_transform: null,
      lora_alpha: 8,
      lora_dropout: 0.1,
      modules_to_save: null,
      peft_type: 'LORA',
      peft_version: '0.21.2',
      r: 4,
      rank_pattern: {},
      revision: 'abc',
      target_modules: ['down_proj', 'gate_proj', 'k_proj', 'o_proj', 'q_proj', 'up_proj', 'v_proj'],
      task_type: 'CAUSAL_LM',
      use_dora: false,
      use_rslora: false,
    });
    const keys = Object.keys(JSON.parse(text) as object);
    expect(keys).toEqual([...keys].sort());
    expect(text).toBe(`${JSON.stringify(JSON.parse(text), null, 2)}\n`);
  });

  it('lists the targets of the recipe', () => {
    const some = makeRecipe({ lora: { targets: ['v_proj', 'q_proj'] } });
    expect(JSON.parse(adapterConfig(tiny.base, some, 'x', 'y'))).toMatchObject({
      target_modules: ['q_proj', 'v_proj'],
    });
  });
});

describe('adapter_model.safetensors', () => {
  it('holds the weights under the names and in the shapes that PEFT uses', async () => {
    await withAdapter(async (adapter) => {
      const tensors = new Map((await tensorsOf(adapter)).map((tensor) => [tensor.name, tensor]));
      expect(tensors.size).toBe(28);
      for (const [i, linear] of tiny.base.info.linears.entries()) {
        const [a, b] = ['lora_A', 'lora_B'].map((m) =>
          tensors.get(`base_model.model.${linear.name}.${m}.weight`),
        );
        expect([a?.shape, b?.shape]).toEqual([
          [4, linear.in],
          [linear.out, 4],
        ]);
        expect(a?.values).toEqual(adapter.read(2 * i));
        expect(b?.values).toEqual(adapter.read(2 * i + 1));
        expect(b?.values.some((value) => value !== 0)).toBe(true);
      }
    });
  });

  it('holds nothing but the targets, as F32 with metadata that torch reads', async () => {
    await withAdapter(
      (adapter) => {
        const bytes = adapterWeights(adapter);
        const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE()))) as Record<
          string,
          { dtype: string }
        >;
        const { __metadata__: metadata, ...tensors } = header;
        expect(metadata).toEqual({ format: 'pt' });
        expect(Object.keys(tensors)).toEqual(
          [0, 1].flatMap((layer) =>
            ['lora_A', 'lora_B'].map(
              (m) => `base_model.model.model.layers.${layer}.self_attn.q_proj.${m}.weight`,
            ),
          ),
        );
        expect(Object.values(tensors).every(({ dtype }) => dtype === 'F32')).toBe(true);
      },
      { only: 'q_proj' },
    );
  });

  it('holds A and B in bfloat16 where that is asked for', async () => {
    await withAdapter(async (adapter) => {
      const floats = await tensorsOf(adapter);
      const bytes = adapterWeights(adapter, 'bf16');
      expect(bytes.length).toBeLessThan(0.6 * adapterWeights(adapter).length);
      await write(bytes);
      const rounded = floats.map((tensor) => ({ ...tensor, values: tensor.values.map(roundedToBf16) }));
      expect(await readSafetensors(join(folder, ADAPTER_WEIGHTS), 'x')).toEqual(rounded);
    });
  });

  it.each([NaN, Infinity])('is not made of %d', async (value) => {
    await withAdapter((adapter) => {
      const weights = adapter.read(3);
      weights[weights.length - 1] = value;
      adapter.write(3, weights);
      expect(() => adapterWeights(adapter)).toThrow(
        expect.objectContaining({ code: 'loss_not_finite' }) as Error,
      );
    });
  });
});

describe('loadAdapter', () => {
  it.each(['', 'v_proj'])('brings back an adapter of %j', async (only) => {
    await withAdapter(
      async (adapter) => {
        const bytes = adapterWeights(adapter);
        await write(bytes);
        const loaded = await loadAdapter(tiny.base, folder);
        expect(adapterWeights(loaded).equals(bytes)).toBe(true);
        expect(await lossOf(loaded)).toBe(await lossOf(adapter));
        loaded.close();
      },
      { only },
    );
  });

  // Rank 4: alpha 8 / 4 = 2 = alpha 4 / √4.
  it.each([
    [{ lora_alpha: 8 }, true],
    [{ lora_alpha: 4, use_rslora: true }, true],
    [{ lora_alpha: 4 }, false],
    [{ lora_alpha: 8, use_rslora: true }, false],
  ])('scales by alpha and rank: %j', async (changes, same) => {
    await withAdapter(async (adapter) => {
      await write(adapterWeights(adapter), changes);
      const loaded = await loadAdapter(tiny.base, folder);
      expect((await lossOf(loaded)) === (await lossOf(adapter))).toBe(same);
      loaded.close();
    });
  });

  it.each([
    ['auto', false, 'f32'],
    ['auto', true, 'bf16'],
    ['bf16', false, 'bf16'],
    ['f32', true, 'f32'],
  ] as const)('asked for %s keeps values that bfloat16 holds (%j) in %s', async (pairs, exact, kept) => {
    await withAdapter(async (adapter) => {
      if (exact) adapter.tensors.forEach((_, i) => adapter.write(i, adapter.read(i).map(roundedToBf16)));
      await write(adapterWeights(adapter));
      const before = tiny.kernels.memory().currentBytes;
      const loaded = await loadAdapter(tiny.base, folder, pairs);
      expect(new Set(loaded.tensors.map(({ dtype }) => dtype))).toEqual(new Set([kept]));
      for (const i of loaded.tensors.keys())
        expect(loaded.read(i)).toEqual(
          kept === 'bf16' ? adapter.read(i).map(roundedToBf16) : adapter.read(i),
        );
      // At most what was expected, and less only where values had to be looked at.
      const bytes = tiny.kernels.memory().currentBytes - before;
      const expected = await adapterBytes(folder, pairs);
      expect(bytes / expected).toBeCloseTo(pairs === 'auto' && exact ? 0.5 : 1, 1);
      expect((await lossOf(loaded)) === (await lossOf(adapter))).toBe(exact || kept === 'f32');
      loaded.close();
    });
  });

  const tensor = (name: string, shape: number[]): NamedTensor => ({
    name: `base_model.model.${name}.weight`,
    shape,
    values: new Float32Array(shape.reduce((product, size) => product * size, 1)),
  });
  const q = 'model.layers.0.self_attn.q_proj';
  const pair = [tensor(`${q}.lora_A`, [4, 32]), tensor(`${q}.lora_B`, [32, 4])];

  it.each<[string, NamedTensor[], Record<string, unknown>, RegExp]>([
    ['no LoRA', pair, { peft_type: 'LOHA' }, /peft_type/],
    ['DoRA without its magnitudes', pair, { use_dora: true }, /lora_magnitude_vector has shape \[none\]/],
    ['biases of another kind', pair, { bias: 'some' }, /bias/],
    ['other trained modules', pair, { modules_to_save: ['lm_head'] }, /modules_to_save/],
    ['an alpha that is no number', pair, { alpha_pattern: { q_proj: 'x' } }, /alpha_pattern/],
    ['a lora_A without its lora_B', pair.slice(0, 1), {}, /lora_B\.weight has shape \[none\]/],
    ['another width', [tensor(`${q}.lora_A`, [4, 64]), ...pair.slice(1)], {}, /has shape \[4,64\].*\[4,32\]/],
    ['two ranks', [tensor(`${q}.lora_A`, [5, 32]), ...pair.slice(1)], {}, /\[32,4\].*\[32,5\]/],
    ['rank 0', [tensor(`${q}.lora_A`, [0, 32]), tensor(`${q}.lora_B`, [32, 0])], {}, /rank 0/],
    ['a layer too many', [...pair, tensor('model.layers.9.mlp.up_proj.lora_A', [4, 32])], {}, /layers\.9/],
    ['no layer of this base', [tensor('h.0.attn.lora_A', [4, 32])], {}, /no tensor is of a linear layer/],
  ])('refuses %s', async (_title, tensors, changes, message) => {
    const before = tiny.kernels.memory().currentBytes;
    await write(safetensorsOf(tensors), changes);
    await expect(loadAdapter(tiny.base, folder)).rejects.toMatchObject({
      code: 'validation_failed',
      message: expect.stringMatching(message),
    });
    expect(tiny.kernels.memory().currentBytes).toBe(before);
  });

  it.each([ADAPTER_CONFIG, ADAPTER_WEIGHTS])('refuses a missing or garbled %s', async (path) => {
    await write(safetensorsOf(pair));
    await writeFile(join(folder, path), '{"garbled');
    expect(await codeOf(loadAdapter(tiny.base, folder))).toBe('validation_failed');
    await rm(join(folder, path));
    expect(await codeOf(loadAdapter(tiny.base, folder))).toBe('validation_failed');
  });
});
