import { type Decoder, type Recipe } from '@lowrank/contracts';
import { type Arena } from './arena';

// Which activations of a pass are kept in bfloat16: Pass of libs/kernels/src/native/model/layer.h, on every backend but the reference.

export interface Pass {
  decoder: Decoder;
  tokens: number;
  compute: Recipe['training']['compute'];
  /** Of a session: keys come from a cache, and nothing is kept for backward. */
  cached: boolean;
}

const inHalves = ({ compute }: Pick<Pass, 'compute'>, width: number): boolean =>
  compute === 'bf16' && width % 8 === 0;

/** Whether norms read the residual stream rounded. */
export const roundsStream = (pass: Pass): boolean => inHalves(pass, pass.decoder.hidden);

/** Whether what attention reads is in bfloat16. */
export const roundsAttention = ({ compute, cached, decoder: { fused, headDim } }: Pass): boolean =>
  compute === 'bf16' && !cached && !fused && (headDim === 64 || headDim === 128);

/** Rows of every token, in bfloat16 or floats. */
export const takeRows = (arena: Arena, { tokens }: Pass, width: number, halves: boolean): void =>
  arena.take((halves ? 2 : 4) * tokens * width);

/** Rows of `parts` · `width` that a product reads. */
export const takeOperand = (arena: Arena, pass: Pass, width: number, parts = 1): void =>
  takeRows(arena, pass, parts * width, inHalves(pass, width));

/** Whether a product writes bfloat16, as forward does where a layer's output is `to` and backward where its input is. */
export function writesHalves(pass: Pass, linear: string, to: 'output' | 'input'): boolean {
  const { intermediate, outputNorms, qkNorms } = pass.decoder;
  const kind = linear.slice(linear.lastIndexOf('.') + 1);
  if (to === 'input') {
    return kind === 'down_proj' ? inHalves(pass, intermediate) : kind === 'o_proj' && roundsAttention(pass);
  }
  switch (kind) {
    case 'gate_proj':
    case 'up_proj':
    case 'gate_up_proj':
      return inHalves(pass, intermediate);
    case 'v_proj':
      return roundsAttention(pass);
    case 'q_proj':
    case 'k_proj':
      return qkNorms && roundsAttention(pass);
    case 'o_proj':
    case 'down_proj':
      return outputNorms && roundsStream(pass);
    default:
      return false;
  }
}
