import { Logger } from '@nestjs/common';
import {
  type BaseModel,
  type Dataset,
  type ErrorCode,
  LowrankError,
  type Recipe,
  type TokenLengths,
} from '@lowrank/contracts';
import { measureDatasetFile } from '@lowrank/datasets';
import { type DataPlan, type DataPlanner, planData, type Uncounted } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Staging } from '../http/staging';
import { planInThread } from './plan-thread';
import { keyOf, type StoredLengths } from './stored-lengths';
import { fetchTokenizer } from './tokenizer-files';

/** How long a request waits for its tokens; counting goes on behind it. */
const usualPatienceMs = 15_000;
/** How long counting may take. */
const countingMs = 900_000;
/** The dataset was checked when it was uploaded, under a limit that may have been raised since: this is the highest there is. */
const maxLineBytes = 2 ** 30;
/** More conversations than this are planned in a thread: here they would hold up other requests for more than a tenth of a second. */
const plannedHere = 50_000;

/** What the trainer would fail with too; anything else may be better when the job runs. */
const certain: readonly ErrorCode[] = ['dataset_invalid', 'dataset_empty', 'sequence_too_long'];

export interface DataPlannerOptions {
  blobs: Blobs;
  lengths: StoredLengths;
  staging: Staging;
  /** Aborted when the API closes. */
  signal: AbortSignal;
  patienceMs?: number;
}

/** Counts tokens in a thread, one dataset at a time and each once, and plans from the lengths, which it keeps. */
export class StoredDataPlanner implements DataPlanner {
  private readonly logger = new Logger(StoredDataPlanner.name);
  /** Of what is being counted, or waits for it. */
  private readonly counting = new Map<string, Promise<TokenLengths>>();
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: DataPlannerOptions) {}

  async plan(
    baseModel: BaseModel,
    dataset: Dataset,
    recipe: Pick<Recipe, 'objective' | 'training' | 'evaluation'>,
  ): Promise<DataPlan | Uncounted> {
    let lengths: TokenLengths | null;
    try {
      lengths = await this.lengthsOf(baseModel, dataset);
    } catch (error) {
      if (error instanceof LowrankError && certain.includes(error.code)) throw error;
      const problem = error instanceof LowrankError ? error.message : 'counting them failed';
      this.logger.warn(`Tokens of ${dataset.id} for ${baseModel.name}: ${(error as Error).message}`);
      return { problem: problem.replace(/\.$/, '') };
    }
    if (lengths === null)
      return { problem: `${dataset.filename} is large, and still being counted; ask again in a minute` };
    return lengths.tokens.length > plannedHere ? planInThread(lengths, recipe) : planData(lengths, recipe);
  }

  /** null: not within the time that a request waits. */
  private async lengthsOf(baseModel: BaseModel, dataset: Dataset): Promise<TokenLengths | null> {
    const key = keyOf(baseModel, dataset);
    const stored = this.counting.has(key) ? null : await this.options.lengths.find(baseModel, dataset);
    if (stored !== null) return stored;
    const answered = new AbortController();
    const { patienceMs = usualPatienceMs } = this.options;
    const patience = wait(patienceMs, null, { signal: answered.signal }).catch(() => null);
    try {
      return await Promise.race([this.count(key, baseModel, dataset), patience]);
    } finally {
      answered.abort();
    }
  }

  private count(key: string, baseModel: BaseModel, dataset: Dataset): Promise<TokenLengths> {
    const running = this.counting.get(key);
    if (running) return running;
    const work = this.last.then(() => this.countNow(baseModel, dataset));
    this.counting.set(key, work);
    // Whoever waits hears of a failure; when nobody does any more it is no failure of the process.
    this.last = work.catch(() => undefined).finally(() => this.counting.delete(key));
    return work;
  }

  private countNow(baseModel: BaseModel, dataset: Dataset): Promise<TokenLengths> {
    const { blobs, lengths, staging } = this.options;
    const signal = AbortSignal.any([this.options.signal, AbortSignal.timeout(countingMs)]);
    return staging.use('count', async (folder) => {
      const tokenizerDir = await fetchTokenizer(blobs, baseModel, join(folder, 'tokenizer'));
      const file = join(folder, 'dataset');
      await blobs.fetchTo(dataset.sha256, file);
      const { format } = dataset;
      const counted = await measureDatasetFile(file, { tokenizerDir, format, maxLineBytes, signal });
      await lengths.keep(baseModel, dataset, counted);
      return counted;
    });
  }
}
