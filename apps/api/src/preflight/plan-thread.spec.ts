import { type TokenLengths } from '@lowrank/contracts';
import { planData } from '@lowrank/domain';
import { makeRecipe } from '@lowrank/testing';
import { planInThread } from './plan-thread';

/** Conversations of 10 … 39 tokens, the last three of each learnt. */
function lengths(count: number): TokenLengths {
  const tokens = Int32Array.from({ length: count }, (_, i) => 10 + (i % 30));
  return {
    tokens,
    starts: Int32Array.from({ length: count + 1 }, (_, i) => 2 * i),
    spans: Int32Array.from([...tokens].flatMap((n) => [n - 3, n])),
  };
}

it('plans as it is planned here, and nobody waits for it', async () => {
  const recipe = makeRecipe({ training: { sequenceLength: 64 } });
  let ticks = 0;
  const ticking = setInterval(() => (ticks += 1), 5);
  const plan = await planInThread(lengths(60_000), recipe);
  clearInterval(ticking);
  expect(plan).toEqual(planData(lengths(60_000), recipe));
  expect(ticks).toBeGreaterThan(5);
});

it('passes on what is wrong', async () => {
  const recipe = makeRecipe({ training: { sequenceLength: 16, tooLong: 'fail' } });
  await expect(planInThread(lengths(30), recipe)).rejects.toMatchObject({
    code: 'sequence_too_long',
    message: expect.stringMatching(/^row \d+ has \d+ tokens/),
    details: [{ path: 'recipe.training.sequenceLength' }],
  });
});
