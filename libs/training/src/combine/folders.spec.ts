import { codeOf, makeRecipe } from '@lowrank/testing';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeSequence, openTiny, type Tiny } from '../../test/tiny';
import { adapterConfig, adapterWeights, loadAdapter } from '../peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from '../peft-config';
import { toBatch } from '../sequences';
import { type CombineSettings } from '@lowrank/contracts';
import { combineFolders } from './folders';

const settings: CombineSettings = {
  ...{ method: 'cat', weights: [1], rank: null, density: 0.5, majoritySign: 'total', seed: 0 },
};

describe('combineFolders', () => {
  let tiny: Tiny;
  let root: string;
  beforeAll(async () => {
    tiny = await openTiny();
    root = await mkdtemp(join(tmpdir(), 'lowrank-combine-'));
  });
  afterAll(async () => {
    tiny.close();
    await rm(root, { recursive: true });
  });

  /** An adapter that changes what the model says, in a folder; `changes` go into its configuration. */
  const folderOf = async (
    name: string,
    changes: Record<string, unknown> = {},
    only?: string,
  ): Promise<string> => {
    const folder = join(root, name);
    await mkdir(folder, { recursive: true });
    const adapter = tiny.adapter({ only });
    adapter.tensors.forEach((tensor, i) => {
      const count = tensor.shape.reduce((product, size) => product * size, 1);
      adapter.write(
        i,
        Float32Array.from({ length: count }, (_, j) => Math.sin(i + j * name.length) / 20),
      );
    });
    const config = JSON.parse(
      adapterConfig(tiny.base, makeRecipe({ lora: { rank: 4, alpha: 8 } }), 'owner/name', 'abc'),
    );
    await writeFile(join(folder, ADAPTER_CONFIG), JSON.stringify({ ...config, ...changes }));
    await writeFile(join(folder, ADAPTER_WEIGHTS), adapterWeights(adapter));
    adapter.close();
    return folder;
  };
  const logitsOf = async (folder: string): Promise<Float32Array> => {
    const adapter = await loadAdapter(tiny.base, folder);
    const logits = await tiny.base.logits(toBatch([makeSequence(20)], [[0]]), [
      { adapter, begin: 0, end: 20 },
    ]);
    adapter.close();
    return logits;
  };
  const configOf = async (folder: string) =>
    JSON.parse(await readFile(join(folder, ADAPTER_CONFIG), 'utf8')) as Record<string, unknown>;

  it('writes an adapter that computes what the others do together', async () => {
    const first = await folderOf('first');
    const into = join(root, 'halves');
    const made = await combineFolders([first, first], { ...settings, weights: [0.25, 0.75] }, into);
    expect(made).toMatchObject({ rank: 8 });
    const [ours, theirs] = [await logitsOf(into), await logitsOf(first)];
    expect(Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] as number))))).toBeLessThan(1e-4);
    expect(await configOf(into)).toMatchObject({
      ...{ r: 8, lora_alpha: 8, rank_pattern: {}, alpha_pattern: {}, use_rslora: false },
      base_model_name_or_path: 'owner/name',
      revision: 'abc',
      target_modules: (await configOf(first))['target_modules'],
    });
  });

  it('names every module where a name would mean more than it did', async () => {
    const [first, second] = [
      await folderOf('first'),
      await folderOf('layers', { layers_to_transform: [0, 1] }),
    ];
    const into = join(root, 'named');
    const { modules } = await combineFolders([first, second], { ...settings, weights: [1, 1] }, into);
    const targets = (await configOf(into))['target_modules'] as string[];
    expect(targets).toHaveLength(modules);
    expect(targets[0]).toMatch(/^model\.layers\.0\./);
    await logitsOf(into);
  });

  it.each([
    ['of another base', { base_model_name_or_path: 'owner/other' }],
    ['of another revision', { revision: 'def' }],
    ['DoRA', { use_dora: true }],
    ['trained with biases', { bias: 'all' }],
  ])('refuses an adapter that is %s', async (name, changes) => {
    const folders = [await folderOf('first'), await folderOf(name, changes)];
    const into = join(root, 'never');
    expect(await codeOf(combineFolders(folders, { ...settings, weights: [1, 1] }, into))).toBe(
      'validation_failed',
    );
  });
});
