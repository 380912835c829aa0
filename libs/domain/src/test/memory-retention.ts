import { type Repositories } from '../ports/repositories';
import { type Tables } from './tables';

/** Versions and datasets only: what the use case needs. Which blobs are in use is for Postgres to say, and tested there. */
export function retentionRepositoryOf(tables: Tables): Repositories['retention'] {
  return {
    removeVersions: async (before, limit) => {
      const gone = tables.versions
        .filter(({ deletedAt }) => deletedAt !== null && deletedAt < before)
        .slice(0, limit);
      tables.versions = tables.versions.filter((one) => !gone.includes(one));
      for (const { files, deletedAt } of gone)
        for (const { sha256 } of files) tables.discarded.push({ sha256, at: deletedAt as string });
      return gone.length;
    },
    removeAdapters: async () => 0,
    removeCheckpoints: async () => 0,
    discarded: async (before, limit) => [
      ...new Set(
        tables.discarded
          .filter(({ at }) => at < before)
          .slice(0, limit)
          .map(({ sha256 }) => sha256),
      ),
    ],
    unreferenced: async (blobs) =>
      blobs.filter(
        (blob) => !tables.versions.some(({ files }) => files.some(({ sha256 }) => sha256 === blob)),
      ),
    forget: async (blobs) => {
      tables.discarded = tables.discarded.filter(({ sha256 }) => !blobs.includes(sha256));
    },
  };
}
