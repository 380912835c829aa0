import { keyWidth } from '@lowrank/contracts';
import { floatBytes, planned } from './arena';
import { type OperationShape, promptMemory } from './operations';
import { takeKept, takeRecomputed, takeScratch } from './step';

// Sample answers are generated after training, in a kernel context of their own: libs/kernels/src/native/model/cache.cpp, session.cpp and
// libs/training/src/samples.ts.

/** kPartTokens: tokens of a prompt that go through the layers at a time. */
const partTokens = 512;
/** Most tokens of a sample's answer. */
const answerTokens = 48;

/** A session's plan, cache and logits for a prompt of so many tokens, and what its operations take. */
export function samplingMemory(shape: Omit<OperationShape, 'lengths'>, prompt: number): number {
  const { decoder, vocab, linears } = shape;
  const T = Math.min(prompt, partTokens);
  const cache = floatBytes(decoder.layers * (prompt + answerTokens) * keyWidth(decoder));
  const plan = planned((arena) => {
    for (let i = 0; i < decoder.ropes; i += 1) arena.floats(T);
    arena.floats(2 * T); // cache_rows
    arena.floats(T); // hidden_rstd
    arena.floats(T * decoder.hidden); // x
    takeKept(arena, decoder, T, 'cached');
    takeRecomputed(arena, decoder, T);
    arena.floats(Math.max(...linears.map(({ rank }) => rank * T)));
    takeScratch(arena, decoder, T, 'forward');
  });
  return 2 * cache + floatBytes(vocab) + plan + promptMemory({ ...shape, lengths: [prompt] });
}
