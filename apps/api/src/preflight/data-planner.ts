import { Logger } from '@nestjs/common';
import {
  type BaseModel,
  type Dataset,
  type ErrorCode,
  LowrankError,
  type Recipe,
  type TokenLengths,
} from '@lowrank/contracts';
import {
  type DataPlan,
  type DataPlanner,
  joinLengths,
  planData,
  sequencesPerRow,
  type Uncounted,
} from '@lowrank/domain';
import { CountedLengths, type CountedLengthsOptions } from './counted-lengths';
import { planInThread } from './plan-thread';

/** More conversations than this are planned in a thread: here they would hold up other requests for more than a tenth of a second. */
const plannedHere = 50_000;

/** What the trainer would fail with too; anything else may be better when the job runs. */
const certain: readonly ErrorCode[] = ['dataset_invalid', 'dataset_empty', 'sequence_too_long'];

/** Plans from the lengths of a dataset's conversations, which are counted once and kept. */
export class StoredDataPlanner implements DataPlanner {
  private readonly logger = new Logger(StoredDataPlanner.name);
  private readonly counted: CountedLengths;

  constructor(options: CountedLengthsOptions) {
    this.counted = new CountedLengths(options);
  }

  async plan(
    baseModel: BaseModel,
    dataset: Dataset,
    recipe: Pick<Recipe, 'objective' | 'training' | 'evaluation'>,
    validationDataset: Dataset | null = null,
  ): Promise<DataPlan | Uncounted> {
    let lengths: TokenLengths | null;
    let validation: TokenLengths | null = null;
    try {
      lengths = await this.counted.of(baseModel, dataset);
      if (validationDataset !== null) validation = await this.counted.of(baseModel, validationDataset);
    } catch (error) {
      if (error instanceof LowrankError && certain.includes(error.code)) throw error;
      const problem = error instanceof LowrankError ? error.message : 'counting them failed';
      this.logger.warn(`Tokens of ${dataset.id} for ${baseModel.name}: ${(error as Error).message}`);
      return { problem: problem.replace(/\.$/, '') };
    }
    if (lengths === null || (validationDataset !== null && validation === null)) {
      const { filename } = lengths === null ? dataset : (validationDataset ?? dataset);
      return { problem: `${filename} is large, and still being counted; ask again in a minute` };
    }
    const all = validation === null ? lengths : joinLengths(lengths, validation);
    const validationRows = (validation?.tokens.length ?? 0) / sequencesPerRow(recipe);
    return all.tokens.length > plannedHere
      ? planInThread(all, recipe, validationRows)
      : planData(all, recipe, validationRows);
  }
}
