import { loadChatTokenizer } from '@lowrank/datasets';
import { encodeValues, type GgmlType, ggmlTypes } from './ggml-types';
import { ggufModel, type GgufModel } from './gguf-architectures';
import { type GgufTensor, type MetaValue, writeGguf } from './gguf-file';
import { ggufName, ggufTokenizer } from './gguf-tokenizer';
import { type ExportProgress, mergedWeights, stepper } from './merge';
import { type Weight } from './weights';

export type GgufPrecision = 'f16' | 'q8_0';
/** `general.file_type`: most tensors are of this type. */
const fileTypes = { f16: 1, q8_0: 7 } as const;

/** Vectors stay float32, and rows that are no whole blocks become F16, as llama.cpp's own converter has it. */
function typeOf(shape: readonly number[], precision: GgufPrecision): GgmlType {
  if (shape.length < 2) return 'F32';
  const whole = (shape.at(-1) as number) % ggmlTypes.Q8_0.block === 0;
  return precision === 'q8_0' && whole ? 'Q8_0' : 'F16';
}

function tensorOf(weight: Weight, name: string, model: GgufModel, precision: GgufPrecision): GgufTensor {
  const { shape } = weight.entry;
  const type = typeOf(shape, precision);
  return {
    ...{ name, shape, type },
    bytes: async () => {
      const values = await weight.merged();
      model.arrange(weight.name, values, shape[0] as number);
      return encodeValues(values, type);
    },
  };
}

function factorsTensor(factors: Float32Array): GgufTensor {
  const bytes = async () => encodeValues(factors, 'F32');
  return { name: 'rope_freqs.weight', shape: [factors.length], type: 'F32', bytes };
}

/**
 * Writes a base model with an adapter merged into it as one GGUF file. `name` is what it is called in it. Sums are in double precision and rounded
 * once; one tensor is in memory at a time. Throws as mergedWeights, and LowrankError export_unsupported for what GGUF has no place for.
 */
export async function writeGgufModel(
  modelDir: string,
  adapterDir: string,
  into: string,
  { precision, name, ...progress }: ExportProgress & { precision: GgufPrecision; name: string },
): Promise<void> {
  const merged = await mergedWeights(modelDir, adapterDir);
  try {
    const model = ggufModel(merged.config, merged.settings);
    const { metadata: tokenizer } = await ggufTokenizer(
      modelDir,
      merged.config.vocabSize,
      await loadChatTokenizer(modelDir),
    );
    const tensors = merged.files.flatMap(({ weights }) =>
      weights.flatMap((weight) => {
        const called = model.nameOf(weight.name);
        return called === null ? [] : [tensorOf(weight, called, model, precision)];
      }),
    );
    if (model.ropeFactors !== null) tensors.push(factorsTensor(model.ropeFactors));
    const general: [string, MetaValue][] = [
      ['general.type', { type: 'text', value: 'model' }],
      ['general.name', { type: 'text', value: ggufName(name, tokenizer) }],
      ['general.file_type', { type: 'u32', value: fileTypes[precision] }],
      ['general.quantization_version', { type: 'u32', value: 2 }],
    ];
    const metadata = new Map([...model.metadata, ...general, ...tokenizer]);
    await writeGguf(into, metadata, tensors, stepper(tensors.length, progress));
  } finally {
    await merged.close();
  }
}
