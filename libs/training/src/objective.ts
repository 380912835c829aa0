import { type Recipe } from '@lowrank/contracts';
import {
  type Base,
  type Preference,
  type PreferenceLoss,
  type Rows,
  type StepOptions,
} from '@lowrank/kernels';
import { lossTokens, type Batch } from './sequences';

/** What a step or an evaluation says of a batch; batches add up. */
export interface Measured {
  /** Σ of the objective over tokens with a loss, or over pairs. */
  sum: number;
  /** How many tokens with a loss, or pairs. */
  weight: number;
  /** Tokens that the arg-max predicts, or pairs whose chosen answer has the higher reward. */
  correct: number;
  /** Σ over pairs of the chosen answer's reward less the rejected one's; null without pairs. */
  margin: number | null;
}

export const addMeasured = (parts: readonly Measured[]): Measured =>
  parts.reduce((total, part) => ({
    sum: total.sum + part.sum,
    weight: total.weight + part.weight,
    correct: total.correct + part.correct,
    margin: total.margin === null || part.margin === null ? null : total.margin + part.margin,
  }));

/** The kernels' calls for what a recipe minimises. */
export interface Objective {
  /** Whether the accuracy of a training step means something: what the arg-max predicts is only counted while evaluating. */
  trainAccuracy: boolean;
  /** Of a batch: what its loss is divided by. */
  weight(batch: Batch): number;
  train(base: Base, batch: Batch, rows: Rows, options: StepOptions): Promise<Measured>;
  evaluate(base: Base, batch: Batch, rows: Rows, options: Pick<StepOptions, 'signal'>): Promise<Measured>;
}

const nextToken: Objective = {
  trainAccuracy: false,
  weight: lossTokens,
  async train(base, batch, rows, options) {
    const [{ sum, tokens, correct }] = (await base.trainStep(batch, [rows], options)) as [TokenLoss];
    return { sum, weight: tokens, correct, margin: null };
  },
  async evaluate(base, batch, rows, options) {
    const [{ sum, tokens, correct }] = (await base.evalStep(batch, [rows], options)) as [TokenLoss];
    return { sum, weight: tokens, correct, margin: null };
  },
};
type TokenLoss = Awaited<ReturnType<Base['evalStep']>>[number];

const ofPairs = ({ sum, pairs, correct, chosenReward, rejectedReward }: PreferenceLoss): Measured => ({
  sum,
  weight: pairs,
  correct,
  margin: chosenReward - rejectedReward,
});

function preference(of: (batch: Batch) => Preference): Objective {
  return {
    trainAccuracy: true,
    weight: ({ starts }) => (starts.length - 1) / 2,
    async train(base, batch, rows, options) {
      const losses = await base.preferenceStep(batch, [rows], [of(batch)], options);
      return ofPairs(losses[0] as PreferenceLoss);
    },
    async evaluate(base, batch, rows, options) {
      const losses = await base.preferenceEval(batch, [rows], [of(batch)], options);
      return ofPairs(losses[0] as PreferenceLoss);
    },
  };
}

export function objectiveOf({ objective }: Pick<Recipe, 'objective'>): Objective {
  switch (objective.type) {
    case 'sft':
      return nextToken;
    case 'dpo':
      return preference(({ reference }) => ({
        objective: 'dpo',
        beta: objective.beta,
        labelSmoothing: objective.labelSmoothing,
        reference: reference as Float64Array,
      }));
    case 'orpo':
      return preference(() => ({ objective: 'orpo', lambda: objective.lambda }));
  }
}
