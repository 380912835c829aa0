import { Inject, Injectable } from '@nestjs/common';
import {
  type BaseModel,
  type Dataset,
  type DatasetPreview,
  LowrankError,
  type PreviewQuery,
} from '@lowrank/contracts';
import { previewInThread, selectRows } from '@lowrank/datasets';
import { found, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { join } from 'node:path';
import { BLOBS, PORTS } from '../dependencies';
import { Staging } from '../http/staging';
import { fetchTokenizer } from '../preflight/tokenizer-files';

/** The dataset was checked when it was uploaded, under a limit that may have been raised since. */
const maxLineBytes = 2 ** 30;
/** Rendering twenty rows may take as long as a template is allowed for each of their answers. */
const previewMs = 60_000;

/** What datasets look like to a base model. */
@Injectable()
export class DatasetViews {
  constructor(
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly staging: Staging,
  ) {}

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
