import { spanned } from '@lowrank/telemetry';
import { inTurn } from '@lowrank/training';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type AttemptOptions } from './attempt';

const secondsSince = (started: number): string =>
  ` in ${((performance.now() - started) / 1000).toFixed(1)} s`;

/** Fetches blobs into a folder unless they are there: files appear whole and checked, so one that is there is right. */
export async function fetchFiles(
  { blobs, signal, log }: Pick<AttemptOptions, 'blobs' | 'signal' | 'log'>,
  folder: string,
  files: readonly { path: string; sha256: string; bytes?: number }[],
): Promise<void> {
  for (const { path, sha256, bytes } of files) {
    const target = join(folder, path);
    await inTurn(target, async () => {
      signal.throwIfAborted();
      const found = await stat(target).catch(() => null);
      if (found?.isFile() && (bytes === undefined || found.size === bytes)) return;
      const started = performance.now();
      await spanned('fetch', () => blobs.fetchTo(sha256, target), { attributes: { 'lowrank.file': path } });
      log('info', `fetched ${path}${secondsSince(started)}`);
    });
  }
}
