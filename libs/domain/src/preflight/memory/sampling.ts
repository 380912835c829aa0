import { type Decoder, keyWidth } from '@lowrank/contracts';
import { floatBytes, planned } from './arena';
import { type OperationShape, productMemory, promptMemory } from './operations';
import { type Pass, roundsStream } from './pass';
import { takeKept, takeRecomputed, takeScratch } from './step';

// Sample answers are generated after training, in a kernel context of their own: libs/kernels/src/native/model/cache.cpp, session.cpp and
// libs/training/src/samples.ts.

/** kPartTokens: tokens of a prompt that go through the layers at a time. */
const partTokens = 512;
/** Most tokens of a sample's answer. */
const answerTokens = 48;

/** Of libs/training/src/evaluate/answer-all.ts: answers in one batch, and how many logits of one are in memory at a time. */
const together = 16;

/** Keys and values of so many tokens. */
export const cacheMemory = (decoder: Decoder, tokens: number): number =>
  2 * floatBytes(decoder.layers * tokens * keyWidth(decoder));

/** A plan for a prompt of so many tokens, and what its operations take. */
export function passMemory(shape: Omit<OperationShape, 'lengths'>, prompt: number): number {
  const { decoder, linears, recipe } = shape;
  const T = Math.min(prompt, partTokens);
  const pass: Pass = { decoder, tokens: T, compute: recipe.training.compute, cached: true };
  const plan = planned((arena) => {
    for (let i = 0; i < decoder.ropes; i += 1) arena.floats(T);
    arena.floats(2 * T); // cache_rows
    arena.floats(T); // hidden_rstd
    arena.floats(T * decoder.hidden); // x
    if (roundsStream(pass)) arena.floats(T * decoder.hidden); // x2
    takeKept(arena, pass);
    takeRecomputed(arena, pass);
    arena.floats(Math.max(...linears.map(({ rank }) => rank * T)));
    takeScratch(arena, pass, 'forward');
  });
  return plan + promptMemory({ ...shape, lengths: [prompt] });
}

/** The same with a session's cache and logits. */
export const samplingMemory = (shape: Omit<OperationShape, 'lengths'>, prompt: number): number =>
  cacheMemory(shape.decoder, prompt + answerTokens) + floatBytes(shape.vocab) + passMemory(shape, prompt);

/** Prompts that are answered in one batch, each with room for so many tokens. */
export const answeringMemory = (
  shape: Omit<OperationShape, 'lengths'>,
  prompt: number,
  room: number,
): number =>
  cacheMemory(shape.decoder, together * room) +
  floatBytes(shape.vocab) +
  passMemory(shape, prompt) -
  productMemory(shape);
