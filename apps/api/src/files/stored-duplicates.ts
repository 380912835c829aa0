import { type Dataset, type DuplicateReport, duplicateReportSchema, LowrankError } from '@lowrank/contracts';
import { duplicatesFormat, findDuplicatesInFiles } from '@lowrank/datasets';
import { type ObjectStore } from '@lowrank/domain';
import { type Blobs } from '@lowrank/storage';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { type Staging } from '../http/staging';
import { OneAtATime } from '../preflight/one-at-a-time';

const searchMs = 900_000;
/** The dataset was checked when it was uploaded, under a limit that may have been raised since: this is the highest there is. */
const maxLineBytes = 2 ** 30;

type Content = Pick<Dataset, 'sha256' | 'format'>;

/** Reports of duplicates in the object store, by what they are about: made in a thread, one at a time and each once. */
export class StoredDuplicates {
  private readonly searching = new OneAtATime<DuplicateReport>();

  constructor(
    private readonly options: { store: ObjectStore; blobs: Blobs; staging: Staging; signal: AbortSignal },
  ) {}

  /** null: not within the time that a request waits. */
  async of(dataset: Content, against: Content | null): Promise<DuplicateReport | null> {
    const key = keyOf(dataset, against);
    const stored = this.searching.isRunning(key) ? null : await this.find(key);
    return stored ?? this.searching.do(key, () => this.search(key, dataset, against));
  }

  private async find(key: string): Promise<DuplicateReport | null> {
    try {
      return (
        duplicateReportSchema.safeParse(await json((await this.options.store.get(key)).body)).data ?? null
      );
    } catch (error) {
      if (error instanceof LowrankError && error.code === 'not_found') return null;
      throw error;
    }
  }

  private search(key: string, dataset: Content, against: Content | null): Promise<DuplicateReport> {
    const { store, blobs, staging } = this.options;
    const signal = AbortSignal.any([this.options.signal, AbortSignal.timeout(searchMs)]);
    return staging.use('duplicates', async (folder) => {
      const fetched = async ({ sha256, format }: Content, name: string) => {
        const file = join(folder, name);
        await blobs.fetchTo(sha256, file);
        return { file, format };
      };
      const other = against && (await fetched(against, 'against'));
      const source = await fetched(dataset, 'dataset');
      const report = await findDuplicatesInFiles(source, { against: other, maxLineBytes, signal });
      const bytes = Buffer.from(JSON.stringify(report));
      await store.put(key, bytes, { bytes: bytes.length });
      return report;
    });
  }
}

function keyOf(dataset: Content, against: Content | null): string {
  const parts = [duplicatesFormat, dataset.sha256, dataset.format, against?.sha256, against?.format];
  return `duplicates/${createHash('sha256').update(parts.join('\n')).digest('hex')}`;
}
