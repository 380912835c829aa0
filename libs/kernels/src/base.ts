import { createAdapter, handleOf } from './adapter';
import {
  LOSS_BYTES,
  nativeBatch,
  nativePreferences,
  nativeRows,
  PREFERENCE_LOSS_BYTES,
  readLosses,
  readPreferenceLosses,
} from './batch';
import { openCache } from './cache';
import { type Context, type Handle, readJson } from './context';
import { KernelError } from './errors';
import { openSession } from './session';
import type { Base, BaseInfo, Rows } from './types';

function usedBy(base: Handle, rows: readonly Rows[]): Handle[] {
  return [base, ...new Set(rows.flatMap((row) => (row.adapter === null ? [] : [handleOf(row.adapter)])))];
}

/** Opens a quantized base file. Throws KernelError: io_error, bad_format. */
export function openBase(context: Context, file: string): Base {
  const parent = context.handle;
  const handle = context.create(
    'lr_base_open',
    'lr_base_close',
    'base',
    [parent],
    parent.open('lr_base_open'),
    file,
  );
  const info = readJson(context, 'lr_base_info', handle) as BaseInfo;
  return {
    info,
    createAdapter: (spec) => createAdapter(context, handle, spec),
    async trainStep(batch, rows, { checkpointActivations = true, signal } = {}) {
      const losses = new Uint8Array(LOSS_BYTES * Math.max(1, rows.length));
      const native = nativeBatch(batch, 'lr_train_step');
      const groups = nativeRows(rows, 'lr_train_step');
      const options = { checkpoint_activations: checkpointActivations ? 1 : 0, loss_chunk: 0 };
      const base = handle.open('lr_train_step');
      await context.run('lr_train_step', {
        signal,
        uses: usedBy(handle, rows),
        args: (cancel) => [base, native, groups, groups.length, options, cancel, losses],
      });
      return readLosses(losses, rows.length);
    },
    async evalStep(batch, rows, { signal } = {}) {
      const losses = new Uint8Array(LOSS_BYTES * Math.max(1, rows.length));
      const native = nativeBatch(batch, 'lr_eval_step');
      const groups = nativeRows(rows, 'lr_eval_step');
      const base = handle.open('lr_eval_step');
      await context.run('lr_eval_step', {
        signal,
        uses: usedBy(handle, rows),
        args: (cancel) => [base, native, groups, groups.length, cancel, losses],
      });
      return readLosses(losses, rows.length);
    },
    async preferenceStep(batch, rows, preferences, { checkpointActivations = true, signal } = {}) {
      const call = 'lr_preference_step';
      const losses = new Uint8Array(PREFERENCE_LOSS_BYTES * Math.max(1, rows.length));
      const native = nativeBatch(batch, call);
      const groups = nativeRows(rows, call);
      const objectives = nativePreferences(preferences, rows, batch, call);
      const options = { checkpoint_activations: checkpointActivations ? 1 : 0, loss_chunk: 0 };
      const base = handle.open(call);
      await context.run(call, {
        signal,
        uses: usedBy(handle, rows),
        args: (cancel) => [base, native, groups, groups.length, objectives, options, cancel, losses],
      });
      return readPreferenceLosses(losses, rows.length);
    },
    async preferenceEval(batch, rows, preferences, { signal } = {}) {
      const call = 'lr_preference_eval';
      const losses = new Uint8Array(PREFERENCE_LOSS_BYTES * Math.max(1, rows.length));
      const native = nativeBatch(batch, call);
      const groups = nativeRows(rows, call);
      const objectives = nativePreferences(preferences, rows, batch, call);
      const base = handle.open(call);
      await context.run(call, {
        signal,
        uses: usedBy(handle, rows),
        args: (cancel) => [base, native, groups, groups.length, objectives, cancel, losses],
      });
      return readPreferenceLosses(losses, rows.length);
    },
    async sequenceLogps(batch, rows, { signal } = {}) {
      const call = 'lr_sequence_logps';
      const native = nativeBatch(batch, call);
      const logps = new Float64Array(batch.starts.length - 1);
      const groups = nativeRows(rows, call);
      const base = handle.open(call);
      await context.run(call, {
        signal,
        uses: usedBy(handle, rows),
        args: (cancel) => [base, native, groups, groups.length, cancel, logps, null],
      });
      return logps;
    },
    async logits(batch, rows, into) {
      const length = batch.tokens.length * info.vocab;
      if (into !== undefined && into.length < length)
        throw new KernelError('invalid_argument', `${into.length} floats for ${length} logits`, 'lr_logits');
      const logits = into?.subarray(0, length) ?? new Float32Array(length);
      const native = nativeBatch(batch, 'lr_logits');
      const groups = nativeRows(rows, 'lr_logits');
      const base = handle.open('lr_logits');
      await context.run('lr_logits', {
        uses: usedBy(handle, rows),
        args: () => [base, native, groups, groups.length, logits],
      });
      return logits;
    },
    openCache: (options) => openCache(context, handle, info, options),
    openSession: (options) => openSession(context, handle, info, options),
    close: () => handle.close(),
  };
}
