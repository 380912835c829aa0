import { LowrankError, type Recipe } from '@lowrank/contracts';
import { patternValues, scaleOf } from '@lowrank/domain';
import { KernelError, type Adapter, type AdapterTensor, type Base, type LoraTarget } from '@lowrank/kernels';
import { readSafetensorsHeader, SafetensorsError } from '@lowrank/datasets';
import { join } from 'node:path';
import {
  ADAPTER_WEIGHTS,
  type AdapterConfig,
  encodeAdapterConfig,
  readAdapterConfig,
  unusable,
} from './peft-config';
import { roundToBf16 } from './halves';
import { bytesKept, keptInBf16, type PairDtype } from './pair-dtype';
import { encodeSafetensors, readSafetensors, type NamedTensor, type TensorSource } from './safetensors';
import { targetModules } from './targets';

type Placed = Pick<AdapterTensor, 'module' | 'role'>;

/** Name of a tensor in adapter_model.safetensors. A bias lies in the layer that PEFT wraps where the module is a target. */
function tensorName({ module, role }: Placed, targets: ReadonlySet<string>): string {
  const prefix = `base_model.model.${module}`;
  if (role === 'bias') return targets.has(module) ? `${prefix}.base_layer.bias` : `${prefix}.bias`;
  return role === 'lora_magnitude_vector' ? `${prefix}.${role}` : `${prefix}.${role}.weight`;
}

/** A loop: with a callback every number would become an object, tens of megabytes of them at a time. */
function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i += 1) if (!Number.isFinite(values[i])) return false;
  return true;
}

const targetSet = (tensors: readonly Placed[]): Set<string> =>
  new Set(tensors.filter(({ role }) => role === 'lora_A').map(({ module }) => module));

/** [A; A₀]: what PiSSA's pair adds and what it takes away, one under the other. */
function fillStacked(into: Float32Array, adapter: Adapter, a: number, initial: number): void {
  adapter.read(a, 'weight', into.subarray(0, into.length / 2));
  adapter.read(initial, 'weight', into.subarray(into.length / 2));
}

/** [B, −B₀] of rows of `rank` each. */
function fillBeside(into: Float32Array, b: Float32Array, initial: Float32Array, rank: number): void {
  for (let row = 0; row * rank < b.length; row += 1)
    for (let i = 0; i < rank; i += 1) {
      into[2 * row * rank + i] = b[row * rank + i] as number;
      into[(2 * row + 1) * rank + i] = -(initial[row * rank + i] as number);
    }
}

/**
 * adapter_model.safetensors of an adapter: `base_model.model.<module>.lora_A.weight` [r, in], `.lora_B.weight` [out, r] in `dtype`,
 * `.lora_magnitude_vector` [out], biases [out] as floats. PiSSA becomes LoRA of twice the rank on the plain base, as PEFT itself converts it.
 * Throws LowrankError loss_not_finite.
 */
export function adapterWeights(adapter: Adapter, dtype: Recipe['lora']['dtype'] = 'f32'): Buffer {
  const targets = targetSet(adapter.tensors);
  const initial = new Map<string, number>(
    adapter.tensors.flatMap(({ module, role }, i) =>
      role.startsWith('initial_') ? [[`${module}.${role}`, i] as const] : [],
    ),
  );
  const tensors = adapter.tensors.flatMap((tensor, i): TensorSource[] => {
    const { module, role, shape } = tensor;
    if (role.startsWith('initial_')) return [];
    const name = tensorName(tensor, targets);
    const other = initial.get(`${module}.${role.replace('lora_', 'initial_')}`);
    if (other === undefined) return [{ name, shape, fill: (into) => void adapter.read(i, 'weight', into) }];
    const [rows, cols] = shape as [number, number];
    return role === 'lora_A'
      ? [{ name, shape: [2 * rows, cols], fill: (into) => fillStacked(into, adapter, i, other) }]
      : [
          {
            name,
            shape: [rows, 2 * cols],
            fill: (into) => fillBeside(into, adapter.read(i), adapter.read(other), cols),
          },
        ];
  });
  return encodeSafetensors(
    tensors.map((tensor) => ({
      ...tensor,
      dtype: dtype === 'bf16' && tensor.shape.length === 2 ? ('BF16' as const) : ('F32' as const),
      fill(into: Float32Array) {
        tensor.fill(into);
        if (!allFinite(into))
          throw new LowrankError('loss_not_finite', 'the adapter holds numbers that are not finite');
      },
    })),
  );
}

/**
 * Rounds A and B to what adapterWeights writes of them in `bf16`: what is measured and what is published are the same then. PiSSA's pairs as they
 * began stay as they are.
 */
export function roundPairs(adapter: Adapter): void {
  for (const [i, { role }] of adapter.tensors.entries()) {
    if (role !== 'lora_A' && role !== 'lora_B') continue;
    const values = adapter.read(i);
    roundToBf16(values);
    adapter.write(i, values);
  }
}

const scaled = (values: Readonly<Record<string, number>>, factor: number): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value * factor]));

/** adapter_config.json of a recipe: nothing in it differs between two runs. */
export function adapterConfig(base: Base, recipe: Recipe, source: string, revision: string): string {
  const { lora } = recipe;
  // PiSSA is published with twice the rank; alpha grows as it has to for the same scale.
  const rankFactor = lora.init === 'pissa' ? 2 : 1;
  const alphaFactor = lora.rsLora ? Math.sqrt(rankFactor) : rankFactor;
  return encodeAdapterConfig({
    alpha_pattern: scaled(lora.alphaPattern, alphaFactor),
    base_model_name_or_path: source,
    bias: lora.bias,
    exclude_modules: lora.exclude.length === 0 ? null : lora.exclude,
    layers_to_transform: lora.layers,
    lora_alpha: lora.alpha * alphaFactor,
    lora_dropout: lora.dropout,
    r: lora.rank * rankFactor,
    rank_pattern: scaled(lora.rankPattern, rankFactor),
    revision,
    target_modules: targetModules(base.info.linears, lora),
    use_dora: lora.dora,
    use_rslora: lora.rsLora,
  });
}

/** Targets that the tensors are of, in the base's order, with the rank of each from its lora_A. */
function targetsOf(
  base: Base,
  tensors: Map<string, NamedTensor>,
  { lora_alpha: alpha, alpha_pattern: patterns, use_rslora: rsLora, use_dora: dora }: AdapterConfig,
  pairs: PairDtype,
): LoraTarget[] {
  const found = base.info.linears.flatMap(({ name }) => {
    const [a, b] = ['lora_A', 'lora_B'].map((role) => tensors.get(`base_model.model.${name}.${role}.weight`));
    const rank = a?.shape[0];
    return rank === undefined
      ? []
      : [{ name, rank, values: [a, b].flatMap((tensor) => tensor?.values ?? []) }];
  });
  const names = found.map(({ name }) => name);
  const alphas = patternValues('alphaPattern', patterns ?? {}, names);
  return found.map(({ name, rank, values }) => ({
    name,
    rank,
    scale: scaleOf(rank, alphas.get(name) ?? alpha, rsLora),
    dora,
    bf16: keptInBf16(pairs, values),
  }));
}

function createEmpty(base: Base, targets: LoraTarget[], bias: AdapterConfig['bias']): Adapter {
  try {
    return base.createAdapter({ targets, bias });
  } catch (error) {
    // Ranks come from the file.
    if (error instanceof KernelError && error.status === 'invalid_argument')
      throw unusable(error.message, error);
    throw error;
  }
}

/** The file of weights, by one of the ways to read it. */
async function readWeights<T>(
  folder: string,
  read: (path: string, where: string) => Promise<T[]>,
): Promise<T[]> {
  try {
    return await read(join(folder, ADAPTER_WEIGHTS), ADAPTER_WEIGHTS);
  } catch (error) {
    const known = error instanceof SafetensorsError || (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw known ? unusable((error as Error).message, error) : error;
  }
}

async function readTensors(folder: string): Promise<Map<string, NamedTensor>> {
  const list = await readWeights(folder, readSafetensors);
  return new Map(list.map((tensor) => [tensor.name, tensor]));
}

/**
 * Bytes that the weights of a folder in PEFT's format take once it is loaded; at most, where pairs in floats may turn out to need half. Throws
 * LowrankError validation_failed.
 */
export async function adapterBytes(folder: string, pairs: PairDtype): Promise<number> {
  return bytesKept(pairs, await readWeights(folder, readSafetensorsHeader));
}

/** Writes every weight of an adapter. Throws LowrankError validation_failed unless the tensors are those of the adapter. */
function writeWeights(adapter: Adapter, tensors: Map<string, NamedTensor>): void {
  const adapted = targetSet(adapter.tensors);
  adapter.tensors.forEach((wanted, i) => {
    const name = tensorName(wanted, adapted);
    const found = tensors.get(name);
    if (found?.shape.join() !== wanted.shape.join())
      throw unusable(`${name} has shape [${found?.shape ?? 'none'}], the base needs [${wanted.shape}]`);
    adapter.write(i, found.values);
    tensors.delete(name);
  });
  const [unknown] = tensors.keys();
  if (unknown !== undefined) throw unusable(`this base has no place for ${unknown}`);
}

/** An adapter whose weights training starts from. */
export interface StartingPoint {
  /** For the card, e.g. `support v3`. */
  name: string;
  /** modelKey of its files. */
  key: string;
  /** Folder in PEFT's format. */
  dir: string;
}

/**
 * Replaces an adapter's weights by those of a folder in PEFT's format, bit for bit where that has them in F32; training then starts from
 * them, with a fresh optimizer. Throws LowrankError validation_failed when its tensors are not those of the adapter.
 */
export async function loadWeights(adapter: Adapter, folder: string): Promise<void> {
  writeWeights(adapter, await readTensors(folder));
}

/**
 * Loads a folder in PEFT's format onto a base; with pairs in bfloat16 it can only answer. Throws LowrankError validation_failed when it is not
 * LoRA on linear layers of this base, or names and shapes do not fit.
 */
export async function loadAdapter(base: Base, folder: string, pairs: PairDtype = 'f32'): Promise<Adapter> {
  const config = await readAdapterConfig(folder);
  const tensors = await readTensors(folder);
  const targets = targetsOf(base, tensors, config, pairs);
  if (targets.length === 0) throw unusable('no tensor is of a linear layer of this base');
  const adapter = createEmpty(base, targets, config.bias);
  try {
    writeWeights(adapter, tensors);
    return adapter;
  } catch (error) {
    adapter.close();
    throw error;
  }
}
