import { Inject, Injectable } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { assertDatasetValid, checkDatasetFile, prepareDatasetFile } from '@lowrank/datasets';
import { addDataset, blobsLock, found, type ObjectStore, type Ports } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { type FastifyRequest } from 'fastify';
import { join } from 'node:path';
import { type ZodType } from 'zod';
import { BLOBS, CONFIG, PORTS, STORE } from '../dependencies';
import { Staging } from '../http/staging';
import { StoredLengths } from '../preflight/stored-lengths';
import { fetchTokenizer } from '../preflight/tokenizer-files';
import { receiveUpload, type UploadFields } from './upload';

/** What is known of a file that has come in. */
export interface Received extends UploadFields {
  filename: string;
}

/** Takes uploads in: to disk, made JSONL, checked off-thread, to the object store, then the row. */
@Injectable()
export class DatasetUploads {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(BLOBS) private readonly blobs: Blobs,
    @Inject(STORE) private readonly store: ObjectStore,
    private readonly staging: Staging,
  ) {}

  /** `fields`: what may be said of the file. Errors: those of receiveUpload and of `take`. */
  accept(teamId: string, request: FastifyRequest, fields?: ZodType<UploadFields>): Promise<Dataset> {
    return this.take(teamId, (received) => receiveUpload(request, received, this.config.limits, fields));
  }

  /**
   * Makes a version of a dataset of whatever `receive` writes to the file it is given.
   * Errors: those of `receive`, not_found (base model), dataset_invalid with the first lines at fault, dataset_empty.
   */
  take(teamId: string, receive: (file: string) => Promise<Received>): Promise<Dataset> {
    return this.staging.use('upload', async (folder) => {
      const { limits } = this.config;
      const received = join(folder, 'file');
      const { filename, name, format, baseModel, expiresAfter } = await receive(received);
      const counter = await this.counterOf(teamId, baseModel);
      const maxLineBytes = limits.lineBytes;
      const path = await prepareDatasetFile(received, folder, {
        filename,
        maxBytes: limits.uploadBytes,
        maxLineBytes,
      });
      const check = await checkDatasetFile(path, {
        format,
        maxLineBytes,
        tokenizerDir:
          counter === null ? undefined : await fetchTokenizer(this.blobs, counter, join(folder, 'tokenizer')),
      });
      assertDatasetValid(check);
      return this.ports.unitOfWork.sharing(blobsLock, async (lost) => {
        const { sha256, bytes } = await this.blobs.putFile(path);
        const { format: checked, rows, tokens, lossTokens, lengths } = check;
        // So that a job on this base model need not count them again.
        if (counter !== null && lengths !== null)
          await new StoredLengths(this.store).keep(counter, { sha256, format: checked }, lengths);
        const tokensOf = counter?.name ?? null;
        lost.throwIfAborted();
        return addDataset(
          this.ports,
          teamId,
          { name, filename, bytes, sha256, format: checked, rows, tokens, lossTokens, tokensOf },
          expiresAfter,
        );
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
}
