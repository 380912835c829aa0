import { createAdapter, handleOf } from './adapter';
import { type Context, type Handle, readJson } from './context';
import { KernelError } from './errors';
import { openSession } from './session';
import type { Base, BaseInfo, Loss, PackedBatch, Rows } from './types';
import { uint32, uint64 } from './values';

type StepCall = 'lr_train_step' | 'lr_eval_step' | 'lr_logits';

const LOSS_BYTES = 24; // lr_loss: double sum, uint64 tokens, uint64 correct

/** lr_batch; the library cannot see how long the arrays are, so that is checked here. */
function nativeBatch(batch: PackedBatch, call: StepCall): object {
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

function nativeRows(rows: readonly Rows[], call: StepCall): object[] {
  return rows.map((row, i) => ({
    adapter: row.adapter === null ? null : handleOf(row.adapter).open(call),
    begin: uint32(`begin of rows[${i}]`, row.begin, call),
    end: uint32(`end of rows[${i}]`, row.end, call),
    loss_scale: row.lossScale ?? 1,
    dropout_seed: uint64(`dropoutSeed of rows[${i}]`, row.dropoutSeed ?? 0n, call),
  }));
}

function readLosses(bytes: Uint8Array, count: number): Loss[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => ({
    sum: view.getFloat64(i * LOSS_BYTES, true),
    tokens: Number(view.getBigUint64(i * LOSS_BYTES + 8, true)),
    correct: Number(view.getBigUint64(i * LOSS_BYTES + 16, true)),
  }));
}

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
    async logits(batch, rows) {
      const logits = new Float32Array(batch.tokens.length * info.vocab);
      const native = nativeBatch(batch, 'lr_logits');
      const groups = nativeRows(rows, 'lr_logits');
      const base = handle.open('lr_logits');
      await context.run('lr_logits', {
        uses: usedBy(handle, rows),
        args: () => [base, native, groups, groups.length, logits],
      });
      return logits;
    },
    openSession: (options) => openSession(context, handle, info, options),
    close: () => handle.close(),
  };
}
