import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import {
  type BaseModel,
  type Dataset,
  type DatasetPreview,
  type DatasetStatistics,
  LowrankError,
  type PreviewQuery,
  type StatisticsQuery,
} from '@lowrank/contracts';
import { lengthStatistics, previewInThread, selectRows } from '@lowrank/datasets';
import { found, type ObjectStore, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { join } from 'node:path';
import { BLOBS, PORTS, STORE } from '../dependencies';
import { Staging } from '../http/staging';
import { CountedLengths } from '../preflight/counted-lengths';
import { StoredLengths } from '../preflight/stored-lengths';
import { fetchTokenizer } from '../preflight/tokenizer-files';
import { StoredDuplicates } from './stored-duplicates';

/** The dataset was checked when it was uploaded, under a limit that may have been raised since. */
const maxLineBytes = 2 ** 30;
/** Rendering twenty rows may take as long as a template is allowed for each of their answers. */
const previewMs = 60_000;

/** What there is to see of datasets: rows as a base model sees them, and what can be counted. */
@Injectable()
export class DatasetViews implements OnModuleDestroy {
  private readonly closing = new AbortController();
  private readonly lengths: CountedLengths;
  private readonly duplicates: StoredDuplicates;

  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    @Inject(STORE) store: ObjectStore,
    private readonly staging: Staging,
  ) {
    const { signal } = this.closing;
    this.lengths = new CountedLengths({ blobs, staging, signal, lengths: new StoredLengths(store) });
    this.duplicates = new StoredDuplicates({ store, blobs, staging, signal });
  }

  onModuleDestroy(): void {
    this.closing.abort();
  }

  /** Errors: not_found (dataset, base model), base_model_invalid. */
  async preview(teamId: string, id: string, query: PreviewQuery): Promise<DatasetPreview> {
    const { dataset, baseModel } = await this.material(teamId, id, query.baseModel);
    const { body } = await this.blobs.open(dataset.sha256);
    const { lines, hasMore } = await selectRows(body, query, maxLineBytes).finally(() => body.destroy());
    const rows = await this.staging.use('preview', async (folder) => {
      const tokenizerDir = await fetchTokenizer(this.blobs, baseModel, join(folder, 'tokenizer'));
      const signal = AbortSignal.timeout(previewMs);
      return previewInThread(lines, { tokenizerDir, format: dataset.format, signal });
    });
    return { baseModel: baseModel.name, rows, hasMore };
  }

  /**
   * Lengths and duplicates; what takes longer than a request waits is null, and found by a later one.
   * Errors: not_found (datasets, base model), dataset_invalid when the base model's template refuses a row.
   */
  async statistics(teamId: string, id: string, query: StatisticsQuery): Promise<DatasetStatistics> {
    const { dataset, baseModel } = await this.material(teamId, id, query.baseModel);
    const other =
      query.against === undefined
        ? null
        : await this.ports.unitOfWork.look(async ({ datasets }) =>
            found(
              await datasets.find(teamId, query.against ?? ''),
              'dataset',
              query.against ?? '',
              'against',
            ),
          );
    const [lengths, duplicates] = await Promise.all([
      this.lengths.of(baseModel, dataset),
      this.duplicates.of(dataset, other),
    ]);
    return {
      baseModel: baseModel.name,
      lengths: lengths && lengthStatistics(lengths, query.sequenceLength),
      duplicates,
    };
  }

  private material(
    teamId: string,
    id: string,
    nameOrId: string | undefined,
  ): Promise<{ dataset: Dataset; baseModel: BaseModel }> {
    return this.ports.unitOfWork.look(async ({ datasets, baseModels }) => {
      const dataset = found(await datasets.find(teamId, id), 'dataset', id);
      const baseModel =
        nameOrId === undefined
          ? await baseModels.firstReady(teamId)
          : found(await baseModels.find(teamId, nameOrId), 'base model', nameOrId, 'baseModel');
      if (baseModel === null)
        throw new LowrankError(
          'not_found',
          'There is no base model yet, whose template could render the rows.',
        );
      return { dataset, baseModel };
    });
  }
}
