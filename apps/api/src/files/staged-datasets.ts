import { Inject, Injectable } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { type Dataset, type ImportUrl, LowrankError } from '@lowrank/contracts';
import {
  assembleUpload,
  type ObjectStore,
  type Ports,
  removeUpload,
  type UploadRecord,
} from '@lowrank/domain';
import { AddressRules, download } from '@lowrank/outbound';
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { CONFIG, PORTS, STORE } from '../dependencies';
import { DatasetUploads } from './datasets';
import { cleanName } from './upload';

/** For a whole file by URL. */
const importMs = 600_000;

/** Makes datasets of files that do not come with the request: in parts before it, or from a URL. */
@Injectable()
export class StagedDatasets {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(PORTS) private readonly ports: Ports,
    @Inject(STORE) private readonly store: ObjectStore,
    private readonly uploads: DatasetUploads,
  ) {}

  /**
   * Errors: upload_incomplete; upload_damaged when the bytes are not those that were announced; those of DatasetUploads.take. What is refused for its
   * content is removed, as it will be refused again.
   */
  async complete(teamId: string, upload: UploadRecord): Promise<Dataset> {
    const key = await assembleUpload(this.store, upload);
    const remove = () => removeUpload({ ...this.ports, store: this.store }, upload);
    let dataset: Dataset;
    try {
      dataset = await this.uploads.take(teamId, async (file) => {
        await this.fetch(key, file, upload.sha256);
        return { filename: upload.filename, ...upload.fields };
      });
    } catch (error) {
      if (error instanceof LowrankError && [413, 422].includes(error.status)) await remove();
      throw error;
    }
    await remove();
    return dataset;
  }

  /** Errors: address_refused, download_failed, body_too_large; those of DatasetUploads.take. */
  import(teamId: string, { url, filename, ...fields }: ImportUrl): Promise<Dataset> {
    return this.uploads.take(teamId, async (file) => {
      const { limits, importNetworks } = this.config;
      const rules = new AddressRules(importNetworks);
      const got = await download(url, file, {
        rules,
        timeoutMs: importMs,
        maxBytes: limits.uploadBytes,
      }).catch((error: unknown) => {
        if (!(error instanceof LowrankError && error.code === 'address_refused')) throw error;
        throw new LowrankError(
          error.code,
          error.message,
          [{ path: 'url', message: 'leads to no public address' }],
          {
            help: 'Use a public address, or have its network listed in LOWRANK_IMPORT_NETWORKS.',
          },
        );
      });
      return { filename: filename ?? cleanName(got.filename), ...fields };
    });
  }

  private async fetch(key: string, file: string, sha256: string | null): Promise<void> {
    const { body } = await this.store.get(key);
    const hash = createHash('sha256');
    const hashed = async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        hash.update(chunk);
        yield chunk;
      }
    };
    await pipeline(body, hashed, createWriteStream(file, { flags: 'wx', mode: 0o600 }));
    const found = hash.digest('hex');
    if (sha256 !== null && found !== sha256)
      throw new LowrankError(
        'upload_damaged',
        `The parts make a file with the SHA-256 ${found}, not ${sha256}.`,
      );
  }
}
