import { type StoredFile } from '@lowrank/contracts';
import { createHash } from 'node:crypto';

/**
 * What stands for a commit where there is none: the first 40 digits of the SHA-256 over `<sha256>  <path>` lines in path order, as
 * sha256sum writes them. The database computes the same.
 */
export function revisionOf(files: readonly StoredFile[]): string {
  const list = files
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ sha256, path }) => `${sha256}  ${path}\n`)
    .join('');
  return createHash('sha256').update(list).digest('hex').slice(0, 40);
}
