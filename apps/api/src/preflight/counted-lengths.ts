import { type BaseModel, type Dataset, type TokenLengths } from '@lowrank/contracts';
import { measureDatasetFile } from '@lowrank/datasets';
import { type Blobs } from '@lowrank/storage';
import { join } from 'node:path';
import { type Staging } from '../http/staging';
import { OneAtATime } from './one-at-a-time';
import { keyOf, type StoredLengths } from './stored-lengths';
import { fetchTokenizer } from './tokenizer-files';

/** How long counting may take. */
const countingMs = 900_000;
/** The dataset was checked when it was uploaded, under a limit that may have been raised since: this is the highest there is. */
const maxLineBytes = 2 ** 30;

export interface CountedLengthsOptions {
  blobs: Blobs;
  lengths: StoredLengths;
  staging: Staging;
  /** Aborted when the API closes. */
  signal: AbortSignal;
  patienceMs?: number;
  /** Told of what was counted and is kept now: those who asked may not have waited. */
  onCounted?: (baseModel: BaseModel, dataset: Dataset) => void;
}

/** Counts tokens in a thread, one dataset at a time and each once, and keeps what it has counted. */
export class CountedLengths {
  private readonly counting: OneAtATime<TokenLengths>;

  constructor(private readonly options: CountedLengthsOptions) {
    this.counting = new OneAtATime(options.patienceMs);
  }

  /** null: not within the time that a request waits. Throws dataset_invalid, base_model_invalid, or what keeps it from counting. */
  async of(baseModel: BaseModel, dataset: Dataset): Promise<TokenLengths | null> {
    const key = keyOf(baseModel, dataset);
    const stored = this.counting.isRunning(key) ? null : await this.options.lengths.find(baseModel, dataset);
    return stored ?? this.counting.do(key, () => this.count(baseModel, dataset));
  }

  private count(baseModel: BaseModel, dataset: Dataset): Promise<TokenLengths> {
    const { blobs, lengths, staging, onCounted } = this.options;
    const signal = AbortSignal.any([this.options.signal, AbortSignal.timeout(countingMs)]);
    return staging.use('count', async (folder) => {
      const tokenizerDir = await fetchTokenizer(blobs, baseModel, join(folder, 'tokenizer'));
      const file = join(folder, 'dataset');
      await blobs.fetchTo(dataset.sha256, file);
      const { format } = dataset;
      const counted = await measureDatasetFile(file, { tokenizerDir, format, maxLineBytes, signal });
      await lengths.keep(baseModel, dataset, counted);
      onCounted?.(baseModel, dataset);
      return counted;
    });
  }
}
