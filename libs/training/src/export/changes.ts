import { LowrankError } from '@lowrank/contracts';
import { type AdapterParts, type Pair } from '../combine/pairs';
import { unusable } from '../peft-config';

/** What an adapter does to the tensors of its base. */
export interface Changes {
  /** What is done to the values of a tensor, in place; null: nothing. Throws LowrankError validation_failed when its shape is another. */
  take(name: string, shape: readonly number[]): ((values: Float32Array) => void) | null;
  /** Throws LowrankError validation_failed when a part of the adapter found no tensor. */
  finish(): void;
}

/**
 * Adds scale · B · A to W [outputs, inputs]. With a magnitude m, which is DoRA (Liu et al. 2024), every row of the sum is then given
 * the length m: what PEFT's merge does.
 */
function addPair(values: Float32Array, pair: Pair, magnitude: Float32Array | undefined): void {
  const { rank, scale, inputs, outputs, a, b } = pair;
  const row = new Float64Array(inputs);
  for (let out = 0; out < outputs; out += 1) {
    row.fill(0);
    for (let r = 0; r < rank; r += 1) {
      const factor = b[out * rank + r] as number;
      const begin = r * inputs;
      for (let i = 0; i < inputs; i += 1) row[i] = (row[i] as number) + factor * (a[begin + i] as number);
    }
    const begin = out * inputs;
    let squares = 0;
    for (let i = 0; i < inputs; i += 1) {
      const sum = (values[begin + i] as number) + scale * (row[i] as number);
      row[i] = sum;
      squares += sum * sum;
    }
    const factor = magnitude === undefined ? 1 : (magnitude[out] as number) / Math.sqrt(squares);
    for (let i = 0; i < inputs; i += 1) {
      const merged = factor * (row[i] as number);
      if (!Number.isFinite(merged))
        throw new LowrankError('loss_not_finite', 'the merged weights hold numbers that are not finite');
      values[begin + i] = merged;
    }
  }
}

/** The changes that an adapter makes, each taken once. */
export function changesOf({ pairs, magnitudes, biases }: AdapterParts): Changes {
  const left = new Set([
    ...[...pairs.keys()].map((module) => `${module}.weight`),
    ...[...biases.keys()].map((module) => `${module}.bias`),
  ]);
  return {
    take(name, shape) {
      const [, module, kind] = /^(.+)\.(weight|bias)$/.exec(name) ?? [];
      if (module === undefined || !left.delete(name)) return null;
      const bias = biases.get(module);
      const pair = pairs.get(module);
      const wanted = kind === 'bias' ? [bias?.length] : [pair?.outputs, pair?.inputs];
      if (wanted.join() !== shape.join())
        throw unusable(`${name} of the base has shape [${shape}], the adapter needs [${wanted}]`);
      if (kind === 'bias') return (values) => values.set(bias as Float32Array);
      return (values) => addPair(values, pair as Pair, magnitudes.get(module));
    },
    finish() {
      const [missing] = left;
      if (missing !== undefined) throw unusable(`the base has no ${missing}`);
    },
  };
}
