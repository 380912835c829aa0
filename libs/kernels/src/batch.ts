import { handleOf } from './adapter';
import { KernelError } from './errors';
import type { Call } from './native';
import type { Loss, PackedBatch, Preference, PreferenceLoss, Rows } from './types';
import { uint32, uint64 } from './values';

// Batches, rows and losses between the surface's types and the structs of the header.

export const LOSS_BYTES = 24; // lr_loss: double sum, uint64 tokens, uint64 correct
export const PREFERENCE_LOSS_BYTES = 56; // lr_preference_loss: four doubles, three uint64
const OBJECTIVES = { dpo: 0, orpo: 1 } as const; // lr_objective

/** lr_batch; the library cannot see how long the arrays are, so that is checked here. */
export function nativeBatch(batch: PackedBatch, call: Call): object {
  if (batch.targets.length !== batch.tokens.length) {
    throw new KernelError(
      'invalid_argument',
      `${batch.tokens.length} tokens but ${batch.targets.length} targets`,
      call,
    );
  }
  if (batch.starts.length < 2)
    throw new KernelError('invalid_argument', 'starts needs at least two entries', call);
  return {
    tokens: batch.tokens,
    targets: batch.targets,
    starts: batch.starts,
    n_tokens: batch.tokens.length,
    n_sequences: batch.starts.length - 1,
  };
}

export function nativeRows(rows: readonly Rows[], call: Call): object[] {
  return rows.map((row, i) => ({
    adapter: row.adapter === null ? null : handleOf(row.adapter).open(call),
    begin: uint32(`begin of rows[${i}]`, row.begin, call),
    end: uint32(`end of rows[${i}]`, row.end, call),
    loss_scale: row.lossScale ?? 1,
    dropout_seed: uint64(`dropoutSeed of rows[${i}]`, row.dropoutSeed ?? 0n, call),
    label_smoothing: row.labelSmoothing ?? 0,
    neftune_alpha: row.neftuneAlpha ?? 0,
  }));
}

/** lr_preference of each entry of rows; how many references there are is checked here, as with nativeBatch. */
export function nativePreferences(
  preferences: readonly Preference[],
  rows: readonly Rows[],
  { starts }: PackedBatch,
  call: Call,
): object[] {
  if (preferences.length !== rows.length)
    throw new KernelError(
      'invalid_argument',
      `${rows.length} rows but ${preferences.length} preferences`,
      call,
    );
  return preferences.map((preference, i) => {
    if (preference.objective === 'orpo')
      return { objective: OBJECTIVES.orpo, beta: preference.lambda, label_smoothing: 0, reference: null };
    const { begin, end } = rows[i] as Rows;
    const sequences = starts.subarray(0, -1).filter((start) => start >= begin && start < end).length;
    if (preference.reference.length !== sequences)
      throw new KernelError(
        'invalid_argument',
        `rows[${i}] has ${sequences} sequences but ${preference.reference.length} references`,
        call,
      );
    return {
      objective: OBJECTIVES.dpo,
      beta: preference.beta,
      label_smoothing: preference.labelSmoothing ?? 0,
      reference: preference.reference,
    };
  });
}

export function readLosses(bytes: Uint8Array, count: number): Loss[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => ({
    sum: view.getFloat64(i * LOSS_BYTES, true),
    tokens: Number(view.getBigUint64(i * LOSS_BYTES + 8, true)),
    correct: Number(view.getBigUint64(i * LOSS_BYTES + 16, true)),
  }));
}

export function readPreferenceLosses(bytes: Uint8Array, count: number): PreferenceLoss[] {
  return Array.from({ length: count }, (_, i) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + i * PREFERENCE_LOSS_BYTES);
    return {
      sum: view.getFloat64(0, true),
      chosenReward: view.getFloat64(8, true),
      rejectedReward: view.getFloat64(16, true),
      chosenNll: view.getFloat64(24, true),
      chosenTokens: Number(view.getBigUint64(32, true)),
      pairs: Number(view.getBigUint64(40, true)),
      correct: Number(view.getBigUint64(48, true)),
    };
  });
}
