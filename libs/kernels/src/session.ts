import { handleOf } from './adapter';
import { type Context, type Handle } from './context';
import { nativeSampling } from './sampling';
import type { Adapter, BaseInfo, Session } from './types';
import { uint32 } from './values';

/** A sequence to generate over a base, with an adapter or none. Throws KernelError: invalid_argument, out_of_memory. */
export function openSession(
  context: Context,
  base: Handle,
  info: BaseInfo,
  { adapter = null, capacity }: { adapter?: Adapter | null; capacity: number },
): Session {
  const call = 'lr_session_create';
  const parents = adapter === null ? [base] : [base, handleOf(adapter)];
  const pointer = adapter === null ? null : handleOf(adapter).open(call);
  const handle = context.create(
    call,
    'lr_session_destroy',
    'session',
    parents,
    base.open(call),
    pointer,
    uint32('capacity', capacity, call),
  );
  let length = 0;
  return {
    get length() {
      return length;
    },
    async append(tokens, { signal } = {}) {
      const session = handle.open('lr_session_append');
      // The adapter's weights are read, so nobody may write them meanwhile.
      await context.run('lr_session_append', {
        signal,
        uses: [handle, ...parents.slice(1)],
        args: (cancel) => [session, tokens, tokens.length, cancel],
      });
      length += tokens.length;
    },
    logits() {
      const logits = new Float32Array(info.vocab);
      context.sync('lr_session_logits', handle.idle('lr_session_logits'), logits);
      return logits;
    },
    sample(sampling) {
      const token = new Int32Array(1);
      const native = nativeSampling(sampling, info.vocab, 'lr_session_sample');
      context.sync('lr_session_sample', handle.idle('lr_session_sample'), native, token);
      return token[0] as number;
    },
    close: () => handle.close(),
  };
}
