import { Inject, Injectable } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { assertDatasetValid, checkDatasetFile } from '@lowrank/datasets';
import { addDataset, found, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyRequest } from 'fastify';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BLOBS, CONFIG, PORTS } from '../dependencies';
import { Staging } from '../http/staging';
import { receiveUpload } from './upload';

/** Takes uploads in: to disk, checked off-thread, to the object store, then the row. */
@Injectable()
export class DatasetUploads {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    private readonly staging: Staging,
  ) {}

  /** Errors: those of receiveUpload, not_found (base model), dataset_invalid with the first lines at fault, dataset_empty. */
  accept(teamId: string, request: FastifyRequest): Promise<Dataset> {
    return this.staging.use('upload', async (folder) => {
      const path = join(folder, 'file');
      const { filename, format, baseModel } = await receiveUpload(request, path, this.config.limits);
      const counter = await this.counterOf(teamId, baseModel);
      const check = await checkDatasetFile(path, {
        format,
        maxLineBytes: this.config.limits.lineBytes,
        tokenizerDir:
          counter === null ? undefined : await this.fetchTokenizer(counter, join(folder, 'tokenizer')),
      });
      assertDatasetValid(check);
      const { sha256, bytes } = await this.blobs.putFile(path);
      const { rows, tokens, lossTokens } = check;
      const tokensOf = counter?.name ?? null;
      return addDataset(this.ports, teamId, {
        filename,
        bytes,
        sha256,
        format: check.format,
        rows,
        tokens,
        lossTokens,
        tokensOf,
      });
    });
  }

  private counterOf(teamId: string, nameOrId: string | undefined): Promise<BaseModel | null> {
    return this.ports.unitOfWork.run(async ({ baseModels }) =>
      nameOrId === undefined
        ? baseModels.firstReady(teamId)
        : found(await baseModels.find(teamId, nameOrId), 'base model', nameOrId, 'baseModel'),
    );
  }

  /** Everything of a base model but its weights, which counting does not need. */
  private async fetchTokenizer({ files }: BaseModel, folder: string): Promise<string> {
    await mkdir(folder);
    for (const { path, sha256 } of files.filter((file) => !file.path.endsWith('.safetensors')))
      await this.blobs.fetchTo(sha256, join(folder, path));
    return folder;
  }
}
