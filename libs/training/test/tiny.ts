import { loadChatTokenizer, type ChatTokenizer } from '@lowrank/datasets';
import { openKernels, type Adapter, type Base, type Kernels } from '@lowrank/kernels';
import { writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeSafetensors, type NamedTensor, type SavedDtype } from '../src/safetensors';
import { type Sequence } from '../src/sequences';

export interface Tiny {
  /** Temporary folder; the model lies in `model`. */
  folder: string;
  kernels: Kernels;
  base: Base;
  tokenizer: ChatTokenizer;
  /** An adapter on some or all linear layers, whose lora_B is not zero. */
  adapter(options?: { dropout?: number; seed?: bigint; only?: string }): Adapter;
  close(): Promise<void>;
}

/** The tiny llama of @lowrank/testing, quantized and open. */
export async function openTiny(): Promise<Tiny> {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-training-'));
  await writeTinyModel(join(folder, 'model'));
  const kernels = openKernels({ threads: 1 });
  await kernels.quantizeBase(join(folder, 'model'), join(folder, 'base.lrb'));
  const base = await kernels.openBase(join(folder, 'base.lrb'));
  return {
    folder,
    kernels,
    base,
    tokenizer: await loadChatTokenizer(join(folder, 'model')),
    adapter({ dropout = 0, seed = 42n, only = '' } = {}) {
      const names = base.info.linears.map(({ name }) => name).filter((name) => name.endsWith(only));
      const targets = names.map((name) => ({ name, rank: 4, scale: 2 }));
      const adapter = base.createAdapter({ targets, dropout, seed });
      adapter.tensors.forEach(({ role }, i) => {
        if (role === 'lora_B')
          adapter.write(
            i,
            adapter.read(i).map((_, k) => ((k * 7 + i) % 11) / 50 - 0.1),
          );
      });
      return adapter;
    },
    async close() {
      base.close();
      kernels.close();
      await rm(folder, { recursive: true });
    },
  };
}

/** safetensors of tensors that are in memory. */
export const safetensorsOf = (tensors: readonly (NamedTensor & { dtype?: SavedDtype })[]): Buffer =>
  encodeSafetensors(
    tensors.map(({ values, ...tensor }) => ({ ...tensor, fill: (into) => into.set(values) })),
  );

/** A sequence of `length` inputs whose last `learnt` targets count; `first` decides its tokens. */
export function makeSequence(length: number, first = 1, learnt = length): Sequence {
  const tokens = Int32Array.from({ length: length + 1 }, (_, t) => (first + t * 7) % 250);
  const lossMask = Uint8Array.from(tokens, (_, t) => (t > length - learnt ? 1 : 0));
  return { row: { tokens, lossMask }, length, lossTokens: learnt };
}
