import { type Recipe } from '@lowrank/contracts';
import { type EncodedRow } from '@lowrank/datasets';
import { sequencesPerRow, splitRows } from '@lowrank/domain';
import { evaluationBatches, planTraining, type Plan } from './plan';
import { toSequences, type Batch, type Sequence } from './sequences';

/** What a run trains and is evaluated on. */
export interface Data {
  plan: Plan;
  evaluation: Batch[];
  /** For samples: of a preference, the chosen answers. */
  held: EncodedRow[];
}

/** `rows`: conversations of the dataset's rows, as many of each as sequencesPerRow says; the last `validation` of them are of the dataset to evaluate on. */
export async function prepareData(
  rows: readonly EncodedRow[],
  validation: number,
  complete: (sequences: Sequence[]) => Promise<Sequence[]>,
  { recipe, onMessage }: { recipe: Recipe; onMessage(level: 'info' | 'warn', message: string): void },
): Promise<Data> {
  const together = sequencesPerRow(recipe);
  const count = rows.length / together;
  const { train: kept, held } = splitRows(
    count,
    recipe.evaluation.fraction,
    recipe.training.seed,
    validation / together,
  );
  const trainSet = toSequences(rows, recipe, kept);
  const heldSet = toSequences(rows, recipe, held);
  for (const [affected, what] of [
    [trainSet.truncated + heldSet.truncated, `were cut to ${recipe.training.sequenceLength} tokens`],
    [trainSet.dropped + heldSet.dropped, 'were left out: too long, or nothing to learn in them'],
  ] as const) {
    if (affected > 0) onMessage('warn', `${affected} of ${count} rows ${what}`);
  }
  const plan = planTraining(await complete(trainSet.sequences), recipe);
  onMessage(
    'info',
    `${trainSet.sequences.length} sequences in ${plan.rows} packed rows, ${Math.round(plan.fill * 100)} % full; ${heldSet.sequences.length} held out`,
  );
  const evaluation = evaluationBatches(await complete(heldSet.sequences), recipe);
  return { plan, evaluation, held: held.map((row) => rows[row * together] as EncodedRow) };
}
