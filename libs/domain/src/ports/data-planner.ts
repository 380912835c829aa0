import { type BaseModel, type Dataset, type Recipe } from '@lowrank/contracts';
import { type DataPlan } from '../batches/data-plan';

/** The tokens could not be counted, or not in time; nothing is known of the job's data until then. */
export interface Uncounted {
  /** Why, as users may read it; no sentence's end. */
  problem: string;
}

export const isUncounted = (plan: DataPlan | Uncounted): plan is Uncounted => 'problem' in plan;

/**
 * Counts the tokens of a dataset with a base model's tokenizer and plans a training of them with planData, somewhere where it holds up
 * nobody. Answers within some seconds; what takes longer goes on, so that a later call finds it done.
 * Errors, which the trainer would fail with: dataset_invalid, dataset_empty, sequence_too_long.
 */
export interface DataPlanner {
  plan(
    baseModel: BaseModel,
    dataset: Dataset,
    recipe: Pick<Recipe, 'objective' | 'training' | 'evaluation'>,
    /** What it is evaluated on; left out or null: rows held out of the dataset. */
    validationDataset?: Dataset | null,
  ): Promise<DataPlan | Uncounted>;
}
