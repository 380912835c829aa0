import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cosine, Fixture, fixtures, relativeError, settings } from '../test/fixtures';
import { openKernels } from './index';
import type { Adapter, Base, Kernels, PackedBatch } from './types';

const folder = mkdtempSync(join(tmpdir(), 'lowrank-fixtures-'));
let kernels: Kernels;

beforeAll(() => {
  kernels = openKernels({ threads: 2 });
});
afterAll(() => {
  kernels.close();
  rmSync(folder, { recursive: true });
});

async function open(model: string): Promise<Base> {
  const file = join(folder, `${model}.lrb`);
  await kernels.quantizeBase(join(fixtures, model), file);
  return kernels.openBase(file);
}

/** An adapter on every linear layer with the weights stored under `prefix`. */
function adapterOf(base: Base, fixture: Fixture, prefix: string): Adapter {
  const { rank, alpha } = settings;
  const targets = base.info.linears.map(({ name }) => ({ name, rank, scale: alpha / rank }));
  const adapter = base.createAdapter({ targets, dropout: 0, seed: 0n });
  adapter.tensors.forEach(({ module, role }, i) =>
    adapter.write(i, fixture.floats(`${prefix}/${module}.${role}`)),
  );
  return adapter;
}

function batchOf(fixture: Fixture, prefix = ''): PackedBatch {
  const [tokens, targets, starts] = ['tokens', 'targets', 'starts'].map((name) =>
    fixture.ints(prefix + name),
  );
  return { tokens, targets, starts } as PackedBatch;
}

const lossTokens = ({ targets }: PackedBatch): number => targets.filter((target) => target >= 0).length;

describe('bitsandbytes', () => {
  const fixture = new Fixture('nf4');
  const cases = [...new Set(fixture.names().map((name) => name.split('/')[0] as string))];

  it.each(cases)('quantizes %s to the same bytes', (name) => {
    const quantization = { format: 'nf4', doubleQuantization: true } as const;
    const got = kernels.quantize(fixture.floats(`${name}/values`), 1, quantization);
    expect(got.codes).toEqual(fixture.bytes(`${name}/codes`));
    expect(got.absmaxCodes).toEqual(fixture.bytes(`${name}/absmax_codes`));
    expect(got.nestedAbsmax).toEqual(fixture.floats(`${name}/nested_absmax`));
    expect(got.offset).toEqual(fixture.floats(`${name}/offset`));
  });
});

describe.each(['llama', 'llama3-rope', 'qwen2', 'gemma2', 'gemma3', 'phi3'])(
  'transformers and PEFT, %s',
  (model) => {
    const fixture = new Fixture(model);
    const batch = batchOf(fixture);
    const all = { begin: 0, end: batch.tokens.length };
    let base: Base;
    let adapter: Adapter;

    beforeAll(async () => {
      base = await open(model);
      adapter = adapterOf(base, fixture, 'weight');
    });
    afterAll(() => {
      adapter.close();
      base.close();
    });

    it('gives the same logits, with the adapter and without', async () => {
      const bare = await base.logits(batch, [{ adapter: null, ...all }]);
      expect(relativeError(bare, fixture.floats('base_logits'))).toBeLessThan(1e-4);
      const adapted = await base.logits(batch, [{ adapter, ...all }]);
      expect(relativeError(adapted, fixture.floats('logits'))).toBeLessThan(1e-4);
      const room = new Float32Array(adapted.length + 1);
      const there = await base.logits(batch, [{ adapter, ...all }], room);
      expect([there.buffer, there]).toEqual([room.buffer, adapted]);
      const short = base.logits(batch, [{ adapter, ...all }], room.subarray(2));
      await expect(short).rejects.toMatchObject({ status: 'invalid_argument' });
    });

    it.each([true, false])(
      'gives the same loss and gradients, checkpointing %s',
      async (checkpointActivations) => {
        const tokens = lossTokens(batch);
        adapter.zeroGradients();
        const [loss] = await base.trainStep(batch, [{ adapter, ...all, lossScale: 1 / tokens }], {
          checkpointActivations,
        });
        expect((loss?.sum ?? NaN) / tokens).toBeCloseTo(fixture.doubles('loss')[0] as number, 4);
        adapter.tensors.forEach(({ module, role }, i) => {
          const wanted = fixture.floats(`gradient/${module}.${role}`);
          expect(relativeError(adapter.read(i, 'gradient'), wanted)).toBeLessThan(1e-3);
        });
      },
    );
  },
);

describe('PEFT, fifty optimizer steps', () => {
  it('loses as much at every step and ends at the same weights', async () => {
    const fixture = new Fixture('trace');
    const base = await open('llama');
    const adapter = adapterOf(base, fixture, 'initial');
    const wanted = fixture.doubles('loss');
    for (let step = 0; step < settings.steps; step += 1) {
      const batches = Array.from({ length: settings.accumulation }, (_, i) =>
        batchOf(fixture, `${step}.${i}/`),
      );
      const tokens = batches.reduce((total, batch) => total + lossTokens(batch), 0);
      let sum = 0;
      for (const batch of batches) {
        const rows = [{ adapter, begin: 0, end: batch.tokens.length, lossScale: 1 / tokens }];
        sum += (await base.trainStep(batch, rows))[0]?.sum ?? NaN;
      }
      const { applied } = await adapter.optimizerStep({
        learningRate: settings.learningRate,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: 0,
        maxGradNorm: settings.maxGradNorm,
      });
      expect(applied).toBe(true);
      expect(Math.abs(sum / tokens / (wanted[step] as number) - 1)).toBeLessThan(0.01);
    }
    adapter.tensors.forEach(({ module, role }, i) =>
      expect(cosine(adapter.read(i), fixture.floats(`final/${module}.${role}`))).toBeGreaterThan(0.99),
    );
    adapter.close();
    base.close();
  });
});
