import { type Decoder, linearLayers, queryWidth, type Recipe } from '@lowrank/contracts';
import { type DataPlan } from '../batches/data-plan';
import { adaptLinears, isAdapted } from './memory/adapter';

/*
 * Floating-point operations of a training, for comparing jobs: what a device does of them in a second it has shown with earlier jobs.
 * A multiplication with an addition is two. Forward: 2 for each parameter of a linear layer and token, and 2·s·q for attention over
 * sequences of s tokens and q columns of queries. Backward the same again for the parameters, whose own gradients nobody needs, and
 * 5·s·q. Full checkpointing goes forward twice. Layers below the lowest adapted one only go forward. Pairs, norms and DoRA are left out.
 */
const forward = { linear: 2, attention: 2 };
const backward = { linear: 2, attention: 5 };

/** How often the held-out rows are evaluated: at the start, at the end, and every so many steps between. */
const evaluations = ({ evaluation: { everySteps } }: Recipe, steps: number): number =>
  2 + (everySteps === null ? 0 : Math.floor((steps - 1) / everySteps));

/** Of all steps and evaluations together. */
export function trainingOperations(
  { decoder, vocabSize }: { decoder: Decoder; vocabSize: number },
  recipe: Recipe,
  { data, trained, held }: Pick<DataPlan, 'trained' | 'held'> & { data: Pick<DataPlan['data'], 'steps'> },
): number {
  const { layers, hidden } = decoder;
  const parameters = linearLayers(decoder).reduce((sum, linear) => sum + linear.in * linear.out, 0) / layers;
  const adapted = adaptLinears(decoder, recipe).filter(isAdapted);
  const above = layers - Math.min(layers, ...adapted.map(({ layer }) => layer));
  const head = hidden * vocabSize;
  const q = queryWidth(decoder);
  const passes = recipe.training.checkpointActivations ? 2 : 1;

  const linear = forward.linear * (layers - above) + (passes * forward.linear + backward.linear) * above;
  const attention =
    forward.attention * (layers - above) + (passes * forward.attention + backward.attention) * above;
  const training =
    trained.tokens * (linear * parameters + (forward.linear + backward.linear) * head) +
    trained.squares * attention * q;
  const evaluating =
    held.tokens * forward.linear * (layers * parameters + head) +
    held.squares * forward.attention * layers * q;
  return training + evaluations(recipe, data.steps) * evaluating;
}
