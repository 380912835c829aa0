import { type Decoder } from '@lowrank/contracts';

/** The sizes of Llama 3.1 8B. */
export const llama8b: Decoder = {
  prefix: 'model.',
  layers: 32,
  hidden: 4096,
  intermediate: 14_336,
  heads: 32,
  kvHeads: 8,
  headDim: 128,
  tiedEmbeddings: false,
  fused: false,
  qkNorms: false,
  outputNorms: false,
  biases: { qkv: false, o: false, mlp: false },
  ropes: 1,
  dtype: 'BF16',
  quantization: null,
};
