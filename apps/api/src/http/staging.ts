import { Global, Inject, Injectable, Module } from '@nestjs/common';
import { type Config } from '@lowrank/config';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG } from '../dependencies';

/** Temporary folders for what comes in from outside, on the data folder's disk. */
@Injectable()
export class Staging {
  constructor(@Inject(CONFIG) private readonly config: Config) {}

  /** Runs `work` with a new, empty, private folder, which is gone afterwards in every case. */
  async use<T>(purpose: string, work: (folder: string) => Promise<T>): Promise<T> {
    const parent = join(this.config.dataDir, 'staging');
    await mkdir(parent, { recursive: true, mode: 0o700 });
    const folder = await mkdtemp(join(parent, `${purpose}-`));
    try {
      return await work(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

@Global()
@Module({ providers: [Staging], exports: [Staging] })
export class StagingModule {}
