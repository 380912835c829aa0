import { type Decoder, keyWidth, queryWidth, type Recipe } from '@lowrank/contracts';
import { type AdaptedLinear, isAdapted } from './adapter';
import { type Arena, floatBytes, planned } from './arena';

// The workspace of a training step: plan_over of libs/kernels/src/native/model/plan.cpp over take_kept, take_recomputed and
// take_forward and take_backward of layer.cpp. Sizes in comments: T tokens, d hidden, q and kv the widths of queries and of keys, f intermediate.

/**
 * take_kept: what checkpointing keeps of a layer beside its input and LoRA's x·Aᵀ, as it is dear to compute again. `cached`: of a session, which has
 * no backward pass.
 */
export function takeKept(arena: Arena, decoder: Decoder, T: number, keys: 'kept' | 'cached'): void {
  arena.floats(T * queryWidth(decoder)); // o
  if (keys === 'kept') arena.floats(T * decoder.heads); // lse
  arena.floats(T * decoder.hidden); // o_proj
}

/** take_recomputed: what else backward needs of one layer's forward, its input and LoRA's x·Aᵀ excepted. */
export function takeRecomputed(arena: Arena, decoder: Decoder, T: number): void {
  const { hidden: d, intermediate: f, heads, kvHeads, qkNorms, outputNorms } = decoder;
  const [q, kv] = [queryWidth(decoder), keyWidth(decoder)];
  arena.floats(T); // rstd1
  arena.floats(T); // rstd2
  arena.floats(T * q);
  arena.floats(T * kv); // k
  arena.floats(T * kv); // v
  if (qkNorms) {
    arena.floats(T * q); // before the norm
    arena.floats(T * kv);
    arena.floats(T * heads); // rstd_q
    arena.floats(T * kvHeads); // rstd_k
  }
  arena.floats(T * f); // gate
  arena.floats(T * f); // up
  if (outputNorms) {
    arena.floats(T * d); // x2
    arena.floats(T * d); // mlp_out
    arena.floats(T); // rstd_o
    arena.floats(T); // rstd_mlp
  }
}

/** What no layer keeps: n, dn, and take_forward or take_backward, which lie in one place. */
export function takeScratch(
  arena: Arena,
  decoder: Decoder,
  T: number,
  pass: 'forward' | 'forward and backward',
): void {
  const { hidden: d, intermediate: f, fused } = decoder;
  const [q, kv] = [queryWidth(decoder), keyWidth(decoder)];
  arena.floats(T * d); // n
  if (fused) arena.floats(T * Math.max(q + 2 * kv, 2 * f));
  if (pass === 'forward') {
    arena.floats(T * f); // act
    return;
  }
  arena.floats(T * d); // dn
  arena.floats(T * d); // dx
  const mlp = arena.mark();
  arena.floats(T * f); // act
  arena.floats(T * f); // dact
  arena.rewind(mlp); // attention's gradients come after the MLP's are done with
  arena.floats(T * q); // d_o
  arena.floats(T * q); // dq
  arena.floats(T * kv); // dk
  arena.floats(T * kv); // dv
}

/** lora_hidden_total: x·Aᵀ of every pair of a layer, each at a multiple of 16 floats. */
const loraHidden = (linears: readonly AdaptedLinear[], layer: number, T: number): number =>
  linears.reduce(
    (sum, linear) => sum + (linear.layer === layer ? Math.ceil((T * linear.rank) / 16) * 16 : 0),
    0,
  );

/** What plan_over takes of every token, once. */
function takeTokens(arena: Arena, { hidden, ropes }: Decoder, T: number): void {
  for (let i = 0; i < ropes; i += 1) arena.floats(T); // rope_rows
  arena.floats(T); // loss
  arena.floats(T); // grad_scale
  arena.floats(T); // smoothing
  arena.take(T); // correct
  arena.floats(T); // final_rstd
  arena.floats(T * hidden); // final_x
}

/** plan_over for a pass forward over T tokens of which nothing is kept, in bytes. */
export function forwardMemory(decoder: Decoder, linears: readonly AdaptedLinear[], T: number): number {
  const layers = Array.from({ length: decoder.layers }, (_, layer) => layer);
  return planned((arena) => {
    takeTokens(arena, decoder, T);
    takeKept(arena, decoder, T, 'kept');
    arena.floats(Math.max(...layers.map((layer) => loraHidden(linears, layer, T))));
    takeRecomputed(arena, decoder, T);
    takeScratch(arena, decoder, T, 'forward');
  });
}

/** Parts of a step's workspace, in bytes. */
export interface StepMemory {
  /** Kept for backward of the layers with LoRA on or below them: checkpoints or, without checkpointing, all that it needs. */
  kept: number;
  /** Of one layer, used by all whose activations are not kept. */
  oneLayer: number;
  /** Used by one layer after the other, and of single tokens. */
  working: number;
}

/** plan_over for a step of T tokens. */
export function stepMemory(
  decoder: Decoder,
  linears: readonly AdaptedLinear[],
  { training }: Recipe,
  T: number,
): StepMemory {
  const { layers, hidden: d } = decoder;
  const adapted = linears.filter(isAdapted).map(({ layer }) => layer);
  const lowest = Math.min(layers, ...adapted);
  const keepsAll = !training.checkpointActivations;
  const trained = Array.from({ length: layers - lowest }, (_, i) => lowest + i);
  const checkpoint = planned((arena) => takeKept(arena, decoder, T, 'kept'));
  const recomputed = planned((arena) => takeRecomputed(arena, decoder, T));
  const hiddenOf = (layer: number) => loraHidden(linears, layer, T);

  const everyToken = planned((arena) => takeTokens(arena, decoder, T));
  const keptOf = (layer: number) =>
    floatBytes(T * d) + checkpoint + floatBytes(hiddenOf(layer)) + (keepsAll ? recomputed : 0);
  return {
    kept: trained.reduce((sum, layer) => sum + keptOf(layer), 0),
    oneLayer: (lowest > 0 || !keepsAll ? recomputed : 0) + (lowest > 0 ? checkpoint : 0),
    working: everyToken + planned((arena) => takeScratch(arena, decoder, T, 'forward and backward')),
  };
}
