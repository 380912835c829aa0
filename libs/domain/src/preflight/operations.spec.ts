import { type RecipeInput, recipeSchema } from '@lowrank/contracts';
import { planData } from '../batches/data-plan';
import { llama8b as decoder } from '../test/llama-8b';
import { lengthsOf } from '../test/world';
import { trainingOperations } from './operations';

const layerParameters = 6_979_321_856;
const head = 4096 * 128_256;
const s = 2048;

/** Of ten rows of 2,048 tokens. */
function operations(input: RecipeInput = {}): number {
  const recipe = recipeSchema.parse({
    evaluation: { fraction: 0 },
    ...input,
    training: { sequenceLength: s, epochs: 1, ...input.training },
  });
  const plan = planData(lengthsOf(Array<number>(10).fill(s + 1)), recipe);
  return trainingOperations({ decoder, vocabSize: 128_256 }, recipe, plan);
}
const perToken = (input?: RecipeInput) => operations(input) / (10 * s);
const attention = (factor: number) => factor * s * 4096 * 32;

it('counts 6N + 9sqL a token with checkpointing, 4N + 7sqL without, and the head once', () => {
  expect(perToken()).toBeCloseTo(6 * layerParameters + attention(9) + 4 * head, 0);
  expect(perToken({ training: { checkpointActivations: false } })).toBeCloseTo(
    4 * layerParameters + attention(7) + 4 * head,
    0,
  );
});

it('only goes forward below the lowest adapted layer', () => {
  const upper = perToken({ lora: { layers: [30, 31] } });
  const [below, above] = [30 / 32, 2 / 32];
  const linear = layerParameters * (2 * below + 6 * above);
  expect(upper).toBeCloseTo(linear + attention(2 * below + 9 * above) + 4 * head, 0);
});

it('counts evaluations', () => {
  const fraction = 0.1; // one of ten rows
  const forward = s * (2 * (layerParameters + head) + attention(2));
  const without = (9 / 10) * operations();
  // Nine rows are three steps of four: before the first, after the last; and after each.
  expect(operations({ evaluation: { fraction } }) - without).toBeCloseTo(2 * forward, -6);
  expect(operations({ evaluation: { fraction, everySteps: 1 } }) - without).toBeCloseTo(4 * forward, -6);
});
