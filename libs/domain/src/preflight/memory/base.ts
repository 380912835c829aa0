import { type BaseStorage, type Decoder, linearLayers } from '@lowrank/contracts';
import { aligned, floatBytes } from './arena';

// The quantized base as a file: libs/kernels/src/native/model/{storage,base_file,base}.cpp.

/** Values that share a scale, and scales that share one. */
const block = 64;
const nestedBlock = 256;
/** About what the index says of a tensor, and of everything else. */
const indexBytesPerTensor = 150;
const indexBytes = 2048;

const valueBytes: Record<BaseStorage['quantization'], number> = {
  nf4: 0.5,
  fp4: 0.5,
  int8: 1,
  bf16: 2,
  f32: 4,
};

/** How a model's base is kept: as a checkpoint that is quantized already has it, else as the recipe asks for. */
export const storageOf = (decoder: Decoder, asked: BaseStorage): BaseStorage => decoder.quantization ?? asked;

/** WeightLayout: a matrix of a decoder's linear layer. */
export function weightBytes(
  { quantization, doubleQuantization }: BaseStorage,
  rows: number,
  cols: number,
): number {
  const values = Math.ceil(rows * cols * valueBytes[quantization]);
  if (quantization === 'bf16' || quantization === 'f32') return values;
  if (quantization === 'int8') return aligned(values) + 4 * rows;
  const blocks = Math.ceil((rows * cols) / block);
  if (!doubleQuantization) return aligned(values) + 4 * blocks;
  return aligned(aligned(aligned(values) + blocks) + 4 * Math.ceil(blocks / nestedBlock)) + 4;
}

/** kept_storage: embedding, head and norms stay as near to the checkpoint as the file's storages come. */
function keptAsFloats({ dtype }: Decoder, { quantization }: BaseStorage): boolean {
  return dtype === 'F32' || (dtype === 'F16' && quantization === 'f32');
}

/** Widths of the norms of a decoder layer. */
function layerNorms({ hidden, headDim, outputNorms, qkNorms }: Decoder): number[] {
  return [
    ...Array<number>(outputNorms ? 4 : 2).fill(hidden),
    ...Array<number>(qkNorms ? 2 : 0).fill(headDim),
  ];
}

/** Bytes of the quantized base, all of which a step reads: it is mapped, and so it counts as the process' own. */
export function baseFileBytes(decoder: Decoder, vocab: number, storage: BaseStorage): number {
  const { layers, hidden, tiedEmbeddings } = decoder;
  const kept = keptAsFloats(decoder, storage) ? 4 : 2;
  const linears = linearLayers(decoder);
  const tensors = [
    ...linears.map((linear) => weightBytes(storage, linear.out, linear.in)),
    ...linears.flatMap(({ bias, out }) => (bias ? [4 * out] : [])),
    ...Array<number>(layers)
      .fill(0)
      .flatMap(() => layerNorms(decoder).map((width) => kept * width)),
    ...Array<number>(tiedEmbeddings ? 1 : 2).fill(kept * vocab * hidden),
    kept * hidden,
  ];
  return (
    tensors.reduce((sum, bytes) => sum + aligned(bytes), 0) +
    indexBytes +
    indexBytesPerTensor * tensors.length
  );
}

/** Base::norm: norms that are not used as they lie in the file. Gemma, which has output norms, adds 1 to each. */
export function normBytes(decoder: Decoder, storage: BaseStorage): number {
  if (keptAsFloats(decoder, storage) && !decoder.outputNorms) return 0;
  const inLayer = layerNorms(decoder).reduce((sum, width) => sum + floatBytes(width), 0);
  return decoder.layers * inLayer + floatBytes(decoder.hidden);
}
