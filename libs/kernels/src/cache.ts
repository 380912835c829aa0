import { handleOf } from './adapter';
import { nativeRows } from './batch';
import { type Context, type Handle } from './context';
import { sample } from './sampling';
import type { BaseInfo, Cache, CachedSequence } from './types';
import { uint32 } from './values';

const KINDS = { prefill: 0, decode: 1 } as const; // lr_run_kind

/** lr_cached_batch of sequences, and the rows that say which adapter each goes through. */
function nativeSequences(sequences: readonly CachedSequence[]): { batch: object; rows: object[] } {
  const call = 'lr_cache_run';
  const starts = new Int32Array(sequences.length + 1);
  const pageStarts = new Int32Array(sequences.length + 1);
  sequences.forEach(({ tokens, pages }, s) => {
    starts[s + 1] = (starts[s] as number) + tokens.length;
    pageStarts[s + 1] = (pageStarts[s] as number) + pages.length;
  });
  const tokens = new Int32Array(starts[sequences.length] as number);
  const pages = new Int32Array(pageStarts[sequences.length] as number);
  sequences.forEach((sequence, s) => {
    tokens.set(sequence.tokens, starts[s]);
    pages.set(sequence.pages, pageStarts[s]);
  });
  const batch = {
    tokens,
    starts,
    past: Int32Array.from(sequences, ({ past }, s) => uint32(`past of sequences[${s}]`, past, call)),
    pages,
    page_starts: pageStarts,
    rope_lengths: Int32Array.from(sequences, ({ ropeLength = 0 }, s) =>
      uint32(`ropeLength of sequences[${s}]`, ropeLength, call),
    ),
    wanted: Uint8Array.from(sequences, ({ wanted = true }) => (wanted ? 1 : 0)),
    n_tokens: tokens.length,
    n_sequences: sequences.length,
  };
  const rows = nativeRows(
    sequences.map(({ adapter }, s) => ({
      adapter,
      begin: starts[s] as number,
      end: starts[s + 1] as number,
    })),
    call,
  );
  return { batch, rows };
}

/** Keys and values of many sequences over a base. Throws KernelError: invalid_argument, out_of_memory. */
export function openCache(
  context: Context,
  base: Handle,
  info: BaseInfo,
  { pageTokens, pages }: { pageTokens: number; pages: number },
): Cache {
  const create = 'lr_cache_create';
  const handle = context.create(
    create,
    'lr_cache_destroy',
    'cache',
    [base],
    base.open(create),
    uint32('pageTokens', pageTokens, create),
    uint32('pages', pages, create),
  );
  return {
    pageTokens,
    pages,
    async run(kind, sequences, { signal } = {}) {
      const call = 'lr_cache_run';
      const wanted = sequences.filter((sequence) => sequence.wanted !== false).length;
      const logits = new Float32Array(wanted * info.vocab);
      const { batch, rows } = nativeSequences(sequences);
      const cache = handle.open(call);
      const adapters = sequences.flatMap(({ adapter }) => (adapter === null ? [] : [handleOf(adapter)]));
      await context.run(call, {
        signal,
        uses: [handle, ...new Set(adapters)],
        args: (cancel) => [
          cache,
          KINDS[kind],
          batch,
          rows,
          rows.length,
          cancel,
          wanted === 0 ? null : logits,
        ],
      });
      return logits;
    },
    sample: (logits, samplings, { logprobs } = {}) =>
      sample(context, info.vocab, logits, samplings, logprobs),
    close: () => handle.close(),
  };
}
