import { z } from 'zod';
import { baseStorageSchema } from './recipe';

const size = z.int().positive();

/**
 * What decides the sizes of a model's decoder: which linear layers it has, and what memory training takes. An import reads it from
 * config.json and the headers of the weights; the kernel library reads the same (libs/kernels/src/native/model/config.h).
 */
export const decoderSchema = z.object({
  /** What the names of its modules begin with, e.g. `model.`. */
  prefix: z.string(),
  layers: size,
  hidden: size,
  intermediate: size,
  heads: size,
  kvHeads: size,
  headDim: size,
  /** The head is the embedding matrix. */
  tiedEmbeddings: z.boolean(),
  /** q, k, v are one linear layer, gate and up another. */
  fused: z.boolean(),
  /** Norms over headDim on queries and keys. */
  qkNorms: z.boolean(),
  /** Norms on the outputs of attention and MLP. */
  outputNorms: z.boolean(),
  /** Which linear layers have biases. */
  biases: z.object({ qkv: z.boolean(), o: z.boolean(), mlp: z.boolean() }),
  /** How many different rotary embeddings there are: two where layers with a window have their own. */
  ropes: z.int().min(1).max(2),
  /** Type of the embeddings in the files. */
  dtype: z.enum(['F32', 'F16', 'BF16']),
  /** How bitsandbytes keeps the linear layers of a checkpoint that is quantized already, else null. */
  quantization: baseStorageSchema.nullable(),
});
export type Decoder = z.infer<typeof decoderSchema>;

/** A linear layer of a decoder: y [out] = W [out, in] · x [in] (+ bias). */
export interface LinearLayer {
  /** Full module name, e.g. `model.layers.0.self_attn.q_proj`. */
  name: string;
  in: number;
  out: number;
  bias: boolean;
}

type Sizes = Omit<Decoder, 'dtype' | 'quantization' | 'ropes'>;

/** Width of all queries and of all keys. */
export const queryWidth = ({ heads, headDim }: Pick<Decoder, 'heads' | 'headDim'>): number => heads * headDim;
export const keyWidth = ({ kvHeads, headDim }: Pick<Decoder, 'kvHeads' | 'headDim'>): number =>
  kvHeads * headDim;

/** The linear layers of one decoder layer in the order in which they run, named within it. */
function layerLinears(decoder: Sizes): LinearLayer[] {
  const { hidden, intermediate: inner, fused, biases } = decoder;
  const [q, kv] = [queryWidth(decoder), keyWidth(decoder)];
  const linear = (name: string, inputs: number, out: number, bias: boolean): LinearLayer => ({
    name,
    in: inputs,
    out,
    bias,
  });
  const attention = fused
    ? [linear('self_attn.qkv_proj', hidden, q + 2 * kv, biases.qkv)]
    : [
        linear('self_attn.q_proj', hidden, q, biases.qkv),
        linear('self_attn.k_proj', hidden, kv, biases.qkv),
        linear('self_attn.v_proj', hidden, kv, biases.qkv),
      ];
  const gated = fused
    ? [linear('mlp.gate_up_proj', hidden, 2 * inner, biases.mlp)]
    : [linear('mlp.gate_proj', hidden, inner, biases.mlp), linear('mlp.up_proj', hidden, inner, biases.mlp)];
  return [
    ...attention,
    linear('self_attn.o_proj', q, hidden, biases.o),
    ...gated,
    linear('mlp.down_proj', inner, hidden, biases.mlp),
  ];
}

/** Every linear layer of a decoder, layer by layer: the kernel library's `linears`, name by name. */
export function linearLayers(decoder: Sizes): LinearLayer[] {
  const inLayer = layerLinears(decoder);
  return Array.from({ length: decoder.layers }, (_, layer) =>
    inLayer.map((linear) => ({ ...linear, name: `${decoder.prefix}layers.${layer}.${linear.name}` })),
  ).flat();
}
