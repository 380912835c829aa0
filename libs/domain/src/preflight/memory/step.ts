import { type Decoder, keyWidth, queryWidth, type Recipe } from '@lowrank/contracts';
import { type AdaptedLinear, isAdapted } from './adapter';
import { type Arena, floatBytes, planned } from './arena';
import { type Pass, roundsAttention, roundsStream, takeOperand, takeRows } from './pass';

// The workspace of a training step: plan_over of libs/kernels/src/native/model/plan.cpp over take_kept, take_recomputed,
// take_forward and take_backward of layer.cpp. Sizes in comments: T tokens, d hidden, q and kv the widths of queries and of keys, f intermediate.

/** take_kept: what checkpointing keeps of a layer beside its input and LoRA's x·Aᵀ, as it is dear to compute again. */
export function takeKept(arena: Arena, pass: Pass): void {
  const { decoder, tokens: T, cached } = pass;
  const { hidden: d, heads, outputNorms } = decoder;
  const rounds = roundsStream(pass);
  takeOperand(arena, pass, queryWidth(decoder)); // o
  if (!cached) arena.floats(T * heads); // lse
  if (rounds) {
    takeRows(arena, pass, d, true); // x_kept
    takeRows(arena, pass, d, true); // x2_kept
  }
  if (outputNorms) takeRows(arena, pass, d, rounds); // o_proj
  if (!outputNorms && !rounds) arena.floats(T * d); // x2
}

/** take_recomputed: what else backward needs of one layer's forward, its input and LoRA's x·Aᵀ excepted. */
export function takeRecomputed(arena: Arena, pass: Pass): void {
  const { decoder, tokens: T } = pass;
  const { hidden: d, intermediate: f, heads, kvHeads, qkNorms, outputNorms } = decoder;
  const [q, kv] = [queryWidth(decoder), keyWidth(decoder)];
  const rounds = roundsAttention(pass);
  arena.floats(T); // rstd1
  arena.floats(T); // rstd2
  takeRows(arena, pass, q, rounds);
  takeRows(arena, pass, kv, rounds); // k
  takeRows(arena, pass, kv, rounds); // v
  if (qkNorms) {
    takeRows(arena, pass, q, rounds); // before the norm
    takeRows(arena, pass, kv, rounds);
    arena.floats(T * heads); // rstd_q
    arena.floats(T * kvHeads); // rstd_k
  }
  takeOperand(arena, pass, f); // gate
  takeOperand(arena, pass, f); // up
  if (outputNorms) {
    if (!roundsStream(pass)) arena.floats(T * d); // x2
    takeRows(arena, pass, d, roundsStream(pass)); // mlp_out
    arena.floats(T); // rstd_o
    arena.floats(T); // rstd_mlp
  }
}

/** What no layer keeps: n, dn, and take_forward or take_backward, which lie in one place. */
export function takeScratch(arena: Arena, pass: Pass, direction: 'forward' | 'forward and backward'): void {
  const { decoder, tokens: T } = pass;
  const { hidden: d, intermediate: f, fused, qkNorms } = decoder;
  const [q, kv] = [queryWidth(decoder), keyWidth(decoder)];
  const rounds = roundsAttention(pass);
  takeOperand(arena, pass, d); // n
  if (fused) {
    const inputs = planned((one) => one.floats(T * (q + 2 * kv)));
    const mlp = planned((one) => takeOperand(one, pass, f, 2));
    arena.take(Math.max(inputs, mlp));
  }
  if (direction === 'forward') {
    const attention = arena.mark();
    if (rounds) arena.floats(T * q);
    if (rounds) arena.floats(T * kv); // k
    arena.rewind(attention); // queries and keys have turned when the MLP comes
    takeOperand(arena, pass, f); // act
    return;
  }
  arena.floats(T * d); // dn
  arena.floats(T * d); // dx
  const mlp = arena.mark();
  takeOperand(arena, pass, f); // act
  takeOperand(arena, pass, f); // dact
  arena.rewind(mlp); // attention's gradients come after the MLP's are done with
  takeRows(arena, pass, q, rounds); // d_o
  arena.floats(T * q); // dq
  arena.floats(T * kv); // dk
  if (!rounds) {
    arena.floats(T * kv); // dv
    return;
  }
  takeOperand(arena, pass, kv); // dv
  takeRows(arena, pass, q, !qkNorms); // before the norm, or turned back
  takeRows(arena, pass, kv, !qkNorms);
}

/** lora_hidden_total: x·Aᵀ of every pair of a layer, each at a multiple of 16 floats. */
const loraHidden = (linears: readonly AdaptedLinear[], layer: number, T: number): number =>
  linears.reduce(
    (sum, linear) => sum + (linear.layer === layer ? Math.ceil((T * linear.rank) / 16) * 16 : 0),
    0,
  );

/** What plan_over takes of every token, once. */
function takeTokens(arena: Arena, pass: Pass): void {
  const { decoder, tokens: T } = pass;
  const { hidden, ropes } = decoder;
  for (let i = 0; i < ropes; i += 1) arena.floats(T); // rope_rows
  arena.floats(T); // loss
  arena.floats(T); // grad_scale
  arena.floats(T); // smoothing
  arena.take(T); // correct
  arena.floats(T); // final_rstd
  arena.floats(T * hidden); // final_x
}

/** plan_over for a pass forward over T tokens of which nothing is kept, in bytes. */
export function forwardMemory(pass: Pass, linears: readonly AdaptedLinear[]): number {
  const layers = Array.from({ length: pass.decoder.layers }, (_, layer) => layer);
  return planned((arena) => {
    takeTokens(arena, pass);
    if (roundsStream(pass)) arena.floats(pass.tokens * pass.decoder.hidden); // x2, which in a step lies in dn
    takeKept(arena, pass);
    arena.floats(Math.max(...layers.map((layer) => loraHidden(linears, layer, pass.tokens))));
    takeRecomputed(arena, pass);
    takeScratch(arena, pass, 'forward');
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
  const pass: Pass = { decoder, tokens: T, compute: training.compute, cached: false };
  const adapted = linears.filter(isAdapted).map(({ layer }) => layer);
  const lowest = Math.min(layers, ...adapted);
  const keepsAll = !training.checkpointActivations;
  const trained = Array.from({ length: layers - lowest }, (_, i) => lowest + i);
  const checkpoint = planned((arena) => takeKept(arena, pass));
  const recomputed = planned((arena) => takeRecomputed(arena, pass));
  const hiddenOf = (layer: number) => loraHidden(linears, layer, T);

  const everyToken = planned((arena) => takeTokens(arena, pass));
  const stream = roundsStream(pass) ? 0 : floatBytes(T * d);
  const keptOf = (layer: number) =>
    stream + checkpoint + floatBytes(hiddenOf(layer)) + (keepsAll ? recomputed : 0);
  return {
    kept: trained.reduce((sum, layer) => sum + keptOf(layer), 0),
    oneLayer: (lowest > 0 || !keepsAll ? recomputed : 0) + (lowest > 0 ? checkpoint : 0),
    working: everyToken + planned((arena) => takeScratch(arena, pass, 'forward and backward')),
  };
}
