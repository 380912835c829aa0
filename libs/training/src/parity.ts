import {
  type Certificate,
  type Likeness,
  LowrankError,
  type ParityThresholds,
  type RowsFrom,
} from '@lowrank/contracts';
import { type EncodedRow } from '@lowrank/datasets';
import { type Adapter, type Base } from '@lowrank/kernels';
import { type Pairs } from './combine/pairs';

/** A row counts up to this token, so that its logits fit into memory whatever the vocabulary. */
const ROW_TOKENS = 256;
const MOST_ROWS = 32;

/** What answers: a base, with an adapter or without. */
export interface Speaker {
  base: Base;
  adapter: Adapter | null;
}

/** An adapter of pairs, on their base. */
export function adapterOf(base: Base, pairs: Pairs): Adapter {
  const targets = base.info.linears.flatMap(({ name }) => {
    const pair = pairs.get(name);
    return pair === undefined ? [] : [{ name, rank: pair.rank, scale: pair.scale }];
  });
  const adapter = base.createAdapter({ targets });
  adapter.tensors.forEach(({ module, role }, i) => {
    const pair = pairs.get(module);
    if (pair !== undefined) adapter.write(i, role === 'lora_A' ? pair.a : pair.b);
  });
  return adapter;
}

function logitsOf({ base, adapter }: Speaker, tokens: Int32Array, into: Float32Array): Promise<Float32Array> {
  const batch = {
    tokens,
    targets: new Int32Array(tokens.length).fill(-100),
    starts: Int32Array.of(0, tokens.length),
  };
  return base.logits(batch, [{ adapter, begin: 0, end: tokens.length }], into);
}

/** log Σ exp of logits, without overflow. */
function logSum(logits: Float32Array): number {
  let largest = -Infinity;
  for (const value of logits) largest = Math.max(largest, value);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}

function argMax(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i += 1) if ((values[i] as number) > (values[best] as number)) best = i;
  return best;
}

/** KL(p ‖ q) of the distributions that logits stand for, in nats. */
export function divergence(p: Float32Array, q: Float32Array): number {
  const [sumP, sumQ] = [logSum(p), logSum(q)];
  let kl = 0;
  for (let i = 0; i < p.length; i += 1) {
    const logP = (p[i] as number) - sumP;
    kl += Math.exp(logP) * (logP - (q[i] as number) + sumQ);
  }
  return Math.max(0, kl);
}

/** What came out of comparing answers, and of how many. */
export type Comparison = Likeness & Pick<Certificate, 'rows' | 'tokens'>;

/**
 * How far `result` answers as `wanted` does: over every position of the first 256 tokens of up to 32 rows, the divergence KL(wanted ‖ result) of
 * what they expect next, and the share of positions in which both expect the same token most. Throws LowrankError validation_failed when there are no rows.
 */
export async function compareAnswers(
  wanted: Speaker,
  result: Speaker,
  rows: readonly EncodedRow[],
  signal?: AbortSignal,
): Promise<Comparison> {
  const { vocab, maxPositions } = wanted.base.info;
  const longest = Math.min(ROW_TOKENS, maxPositions);
  const used = rows.slice(0, MOST_ROWS).map(({ tokens }) => tokens.slice(0, longest));
  let [tokens, sum, klMax, same] = [0, 0, 0, 0];
  // Of all rows the same, as Node gives such arrays back when it likes.
  const most = Math.max(0, ...used.map((row) => row.length)) * vocab;
  const [wantedLogits, resultLogits] = [new Float32Array(most), new Float32Array(most)];
  for (const row of used) {
    signal?.throwIfAborted();
    const p = await logitsOf(wanted, row, wantedLogits);
    const q = await logitsOf(result, row, resultLogits);
    for (let at = 0; at < row.length; at += 1) {
      const [here, there] = [p, q].map((all) => all.subarray(at * vocab, (at + 1) * vocab)) as [
        Float32Array,
        Float32Array,
      ];
      const kl = divergence(here, there);
      sum += kl;
      klMax = Math.max(klMax, kl);
      if (argMax(here) === argMax(there)) same += 1;
    }
    tokens += row.length;
  }
  if (tokens === 0) throw new LowrankError('validation_failed', 'there are no rows to compare answers on');
  return { rows: used.length, tokens, klMean: sum / tokens, klMax, agreement: same / tokens };
}

/** The certificate of a comparison, and where its rows are from. */
export function certify(
  comparison: Comparison,
  rowsFrom: RowsFrom,
  thresholds: ParityThresholds,
): Certificate {
  const { klMean, agreement } = comparison;
  const passed = klMean <= thresholds.klMean && agreement >= thresholds.agreement;
  return { ...comparison, rowsFrom, thresholds, passed };
}

/** Throws LowrankError parity_failed, with the figures, unless the certificate is passed. `wanted`: what it should answer as. */
export function assertParity({ passed, ...figures }: Certificate, wanted: string): void {
  if (passed) return;
  const { klMean, klMax, agreement, rows, tokens, thresholds } = figures;
  throw new LowrankError(
    'parity_failed',
    `the result does not answer as ${wanted}: over ${rows} rows (${tokens} tokens) the divergence is ${klMean.toExponential(2)} nats on average, ` +
      `at most ${klMax.toExponential(2)}, allowed are ${thresholds.klMean}; the likeliest token is the same in ${(100 * agreement).toFixed(2)} %, ` +
      `needed are ${100 * thresholds.agreement} %`,
  );
}
