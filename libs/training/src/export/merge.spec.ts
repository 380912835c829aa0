import { readSafetensorsHeader } from '@lowrank/datasets';
import { codeOf, makeRecipe } from '@lowrank/testing';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeSequence, openTiny, type Tiny } from '../../test/tiny';
import { adapterConfig, adapterWeights } from '../peft';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from '../peft-config';
import { toBatch } from '../sequences';
import { mergeFolder } from './merge';

describe('mergeFolder', () => {
  let tiny: Tiny;
  let model: string;
  let adapterDir: string;
  beforeAll(async () => {
    tiny = await openTiny();
    model = join(tiny.folder, 'model');
    adapterDir = join(tiny.folder, 'adapter');
    await mkdir(adapterDir);
    const adapter = tiny.adapter();
    await writeFile(join(adapterDir, ADAPTER_WEIGHTS), adapterWeights(adapter));
    const recipe = makeRecipe({ lora: { rank: 4, alpha: 8 } });
    await writeFile(join(adapterDir, ADAPTER_CONFIG), adapterConfig(tiny.base, recipe, 'owner/name', 'abc'));
    adapter.close();
  });
  afterAll(() => tiny.close());

  const logitsOf = async (folder: string, adapted: boolean): Promise<Float32Array> => {
    const file = `${folder}.f32.lrb`;
    await tiny.kernels.quantizeBase(folder, file, {
      quantization: { format: 'f32', doubleQuantization: false },
    });
    const base = await tiny.kernels.openBase(file);
    const names = base.info.linears.map(({ name }) => ({ name, rank: 4, scale: 2 }));
    const adapter = adapted ? base.createAdapter({ targets: names }) : null;
    if (adapter) {
      const source = tiny.adapter();
      adapter.tensors.forEach((_, i) => adapter.write(i, source.read(i)));
      source.close();
    }
    const logits = await base.logits(toBatch([makeSequence(20)], [[0]]), [{ adapter, begin: 0, end: 20 }]);
    adapter?.close();
    base.close();
    return logits;
  };

  it('makes a model folder that answers as base and adapter together', async () => {
    const into = join(tiny.folder, 'merged');
    const seen: number[][] = [];
    await mergeFolder(model, adapterDir, into, { onProgress: (done, total) => seen.push([done, total]) });
    const [wanted, made] = [await logitsOf(model, true), await logitsOf(into, false)];
    expect(Math.max(...made.map((value, i) => Math.abs(value - (wanted[i] as number))))).toBeLessThan(1e-4);
    expect(
      Math.max(...(await logitsOf(model, false)).map((v, i) => Math.abs(v - (made[i] as number)))),
    ).toBeGreaterThan(0.1);
    expect(seen.at(-1)).toEqual([seen.length, seen.length]);
    expect(await readdir(into)).toEqual(await readdir(model));
    const headerOf = (folder: string) => readSafetensorsHeader(join(folder, 'model.safetensors'), 'model');
    expect(await headerOf(into)).toEqual(await headerOf(model));
  });

  it('gives the same bytes each time', async () => {
    const [first, second] = [join(tiny.folder, 'first'), join(tiny.folder, 'second')];
    await mergeFolder(model, adapterDir, first);
    await mergeFolder(model, adapterDir, second);
    const bytesOf = (folder: string) => readFile(join(folder, 'model.safetensors'));
    expect((await bytesOf(first)).equals(await bytesOf(second))).toBe(true);
  });

  it('stops when it is told to', async () => {
    const stop = new AbortController();
    const merging = mergeFolder(model, adapterDir, join(tiny.folder, 'stopped'), {
      signal: stop.signal,
      onProgress: (done) => done === 3 && stop.abort(new Error('enough')),
    });
    await expect(merging).rejects.toThrow('enough');
  });

  it('refuses a quantized checkpoint, and an adapter of another base', async () => {
    const config = JSON.parse(await readFile(join(model, 'config.json'), 'utf8')) as object;
    const quantized = join(tiny.folder, 'quantized');
    await mkdir(quantized);
    const quantization = { quant_method: 'bitsandbytes', load_in_8bit: true };
    await writeFile(
      join(quantized, 'config.json'),
      JSON.stringify({ ...config, quantization_config: quantization }),
    );
    const into = join(tiny.folder, 'none');
    expect(await codeOf(mergeFolder(quantized, adapterDir, into))).toBe('export_unsupported');
    const other = join(tiny.folder, 'other');
    await mkdir(other);
    await writeFile(join(other, ADAPTER_CONFIG), await readFile(join(adapterDir, ADAPTER_CONFIG)));
    const weights = await readFile(join(adapterDir, ADAPTER_WEIGHTS));
    const renamed = Buffer.from(weights.toString('latin1').replaceAll('layers.1', 'layers.7'), 'latin1');
    await writeFile(join(other, ADAPTER_WEIGHTS), renamed);
    await expect(mergeFolder(model, other, into)).rejects.toThrow('the base has no model.layers.7');
  });
});
