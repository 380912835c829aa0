import { LowrankError } from '@lowrank/contracts';
import { parseModelConfig } from '@lowrank/datasets';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Pair, type Pairs, readParts } from '../combine/pairs';
import { readAdapterConfig } from '../peft-config';
import { encodeValues } from './ggml-types';
import { ggufModel, type GgufModel } from './gguf-architectures';
import { type GgufTensor, openGguf, writeGguf } from './gguf-file';
import { type ExportProgress, stepper } from './merge';

async function modelOf(modelDir: string): Promise<GgufModel> {
  const settings = JSON.parse(await readFile(join(modelDir, 'config.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  return ggufModel(parseModelConfig(settings), settings);
}

async function plainPairs(adapterDir: string): Promise<Pairs> {
  const { pairs, magnitudes, biases } = await readParts(adapterDir, await readAdapterConfig(adapterDir));
  const kind = magnitudes.size > 0 ? 'DoRA' : biases.size > 0 ? 'an adapter with biases' : null;
  if (kind !== null)
    throw new LowrankError(
      'export_unsupported',
      `a GGUF adapter has no place for ${kind}; merge it: formats 'merged', 'gguf-f16', 'gguf-q8_0'`,
    );
  return pairs;
}

/** What readers scale a pair by is alpha / rank with one alpha for all: where a pair's scale is another, B is scaled instead. */
function factorOf({ scale, rank }: Pair, alpha: number): number {
  return (scale * rank) / alpha;
}

/**
 * Writes an adapter as a GGUF adapter for its base in GGUF, float32: `<tensor>.lora_a` [rank, in] and `.lora_b` [out, rank], whose rows lie as
 * those of the base's tensor do. Throws LowrankError export_unsupported for DoRA, biases, and what GGUF has no place for.
 */
export async function writeGgufAdapter(
  modelDir: string,
  adapterDir: string,
  into: string,
  { name, ...progress }: ExportProgress & { name: string },
): Promise<void> {
  const model = await modelOf(modelDir);
  const pairs = await plainPairs(adapterDir);
  const [first] = pairs.values();
  if (first === undefined) throw new LowrankError('export_unsupported', 'the adapter has no pairs');
  const alpha = Math.fround(first.scale * first.rank);
  const tensors = [...pairs].flatMap(([module, pair]): GgufTensor[] => {
    const called = model.nameOf(`${module}.weight`);
    if (called === null)
      throw new LowrankError('export_unsupported', `a GGUF adapter has no place for ${module}`);
    const b = async () => {
      const factor = factorOf(pair, alpha);
      const values = factor === 1 ? pair.b.slice() : pair.b.map((value) => value * factor);
      model.arrange(`${module}.weight`, values, pair.outputs);
      return encodeValues(values, 'F32');
    };
    const of = { type: 'F32' } as const;
    return [
      {
        ...of,
        name: `${called}.lora_a`,
        shape: [pair.rank, pair.inputs],
        bytes: async () => encodeValues(pair.a, 'F32'),
      },
      { ...of, name: `${called}.lora_b`, shape: [pair.outputs, pair.rank], bytes: b },
    ];
  });
  const metadata = new Map([
    ['general.type', { type: 'text', value: 'adapter' } as const],
    ['general.architecture', { type: 'text', value: model.architecture } as const],
    ['general.name', { type: 'text', value: name } as const],
    ['general.file_type', { type: 'u32', value: 0 } as const],
    ['adapter.type', { type: 'text', value: 'lora' } as const],
    ['adapter.lora.alpha', { type: 'f32', value: alpha } as const],
  ]);
  await writeGguf(into, metadata, tensors, stepper(tensors.length, progress));
}

/** The pairs of such a file, as a reader of it takes them; `modules` are those that it is to have. Throws LowrankError integrity_failed. */
export async function readGgufAdapter(
  modelDir: string,
  file: string,
  modules: readonly string[],
): Promise<Pairs> {
  const model = await modelOf(modelDir);
  const gguf = await openGguf(file);
  try {
    const alpha = Number(gguf.metadata.get('adapter.lora.alpha')?.value);
    const pairs: Pairs = new Map();
    for (const module of modules) {
      const called = model.nameOf(`${module}.weight`);
      const [a, b] = [await gguf.values(`${called}.lora_a`), await gguf.values(`${called}.lora_b`)];
      const rank = gguf.tensors.get(`${called}.lora_a`)?.shape[0] as number;
      const outputs = b.length / rank;
      model.arrange(`${module}.weight`, b, outputs, true);
      pairs.set(module, { rank, scale: alpha / rank, inputs: a.length / rank, outputs, a, b });
    }
    return pairs;
  } finally {
    await gguf.close();
  }
}
