import { type Decoder, linearLayers, type LinearLayer, type Recipe } from '@lowrank/contracts';
import { targetsOf } from '../../recipe/targets';
import { floatBytes, aligned } from './arena';

// What is trained: libs/kernels/src/native/model/{adapter,moments,adapter_state}.cpp.

/** Below this many elements the 8-bit optimizer keeps floats (kSmallest8); values that share a scale of moments (kMomentBlock). */
const smallest8 = 4096;
const momentBlock = 256;
/** Of adapter_state.cpp, and about what safetensors says of a tensor. */
const stateHeaderBytes = 24;
const headerBytesPerTensor = 130;

/** A linear layer with what is trained of it. */
export interface AdaptedLinear extends LinearLayer {
  /** Number of its decoder layer. */
  layer: number;
  /** 0: no pair. */
  rank: number;
  dora: boolean;
  /** Its bias is trained. */
  trainsBias: boolean;
}

/** Every linear layer of a decoder, adapted or not, in the base's order. */
export function adaptLinears(decoder: Decoder, { lora }: Recipe): AdaptedLinear[] {
  const linears = linearLayers(decoder);
  const targets = new Map(targetsOf(decoder, lora).map((target) => [target.name, target]));
  const perLayer = linears.length / decoder.layers;
  return linears.map((linear, i) => {
    const target = targets.get(linear.name);
    const biasWanted = lora.bias === 'all' || (lora.bias === 'lora_only' && target !== undefined);
    return {
      ...linear,
      layer: Math.floor(i / perLayer),
      rank: target?.rank ?? 0,
      dora: target?.dora ?? false,
      trainsBias: linear.bias && biasWanted,
    };
  });
}

export const isAdapted = ({ rank, trainsBias }: AdaptedLinear): boolean => rank > 0 || trainsBias;

/** Elements of the trained tensors of a linear layer: A, B, DoRA's magnitudes, bias. */
function trainedTensors({ rank, in: inputs, out, dora, trainsBias }: AdaptedLinear): number[] {
  const pair = rank > 0 ? [rank * inputs, out * rank] : [];
  return [...pair, ...(rank > 0 && dora ? [out] : []), ...(trainsBias ? [out] : [])];
}

/** Moments::add: both moments of a tensor. */
function momentBytes(elements: number, eightBit: boolean): number {
  if (!eightBit || elements < smallest8) return 2 * floatBytes(elements);
  return 2 * (aligned(elements) + floatBytes(Math.ceil(elements / momentBlock)));
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

export interface AdapterMemory {
  weights: number;
  gradients: number;
  moments: number;
  /** Norms of DoRA's rows. */
  norms: number;
  /** Of a checkpoint's state, which is made in memory, and of adapter_model.safetensors, which is too. */
  state: number;
  published: number;
}

export function adapterMemory(linears: readonly AdaptedLinear[], { lora, optimizer }: Recipe): AdapterMemory {
  const trained = linears.flatMap(trainedTensors);
  // PiSSA's pair as it began stays beside the one that is trained, and is published with it.
  const pairs = lora.init === 'pissa' ? linears.filter(({ rank }) => rank > 0) : [];
  const initial = pairs.flatMap(({ rank, in: inputs, out }) => [rank * inputs, out * rank]);
  const moments = sum(trained.map((elements) => momentBytes(elements, optimizer.name === 'adamw8bit')));
  const trainedBytes = sum(trained.map(floatBytes));
  const tensors = trained.length + initial.length;
  const elements = sum(trained) + sum(initial);
  return {
    weights: trainedBytes + sum(initial.map(floatBytes)),
    gradients: trainedBytes,
    moments,
    norms: floatBytes(3 * sum(linears.map(({ rank, dora, out }) => (rank > 0 && dora ? out : 0)))),
    state: stateHeaderBytes * (1 + tensors) + 4 * elements + moments,
    published: headerBytesPerTensor * tensors + 4 * elements,
  };
}
