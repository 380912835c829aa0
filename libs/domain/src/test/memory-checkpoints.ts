import { isDeepStrictEqual } from 'node:util';
import { type KeptCheckpoint } from '../ports/checkpoints';
import { type Repositories } from '../ports/repositories';
import { orNull, refuseUnless } from './rows';
import { type Tables } from './tables';

export function checkpointRepositoryOf(tables: Tables): Repositories['checkpoints'] {
  type Row = Tables['checkpoints'][number];
  const find = (jobId: string, step: number) =>
    tables.checkpoints.find((one) => one.jobId === jobId && one.step === step);
  const toKept = ({ step, at, manifest, versionId }: Row): KeptCheckpoint => ({
    ...{ step, at, manifest },
    version: orNull(
      tables.versions.find(({ id }) => id === versionId),
      ({ id, number, deletedAt }) => ({ id, number, isDeleted: deletedAt !== null }),
    ),
  });
  return {
    put: async (jobId, step, manifest, at) => {
      refuseUnless(
        tables.jobs.some(({ id }) => id === jobId),
        'job',
      );
      const before = find(jobId, step);
      const isSame = isDeepStrictEqual(before?.manifest.files, manifest.files);
      tables.checkpoints = tables.checkpoints.filter((one) => one !== before);
      tables.checkpoints.push({
        ...{ jobId, step, manifest, at },
        versionId: isSame ? (before?.versionId ?? null) : null,
      });
    },
    list: async (jobId) =>
      tables.checkpoints
        .filter((one) => one.jobId === jobId)
        .sort((a, b) => b.step - a.step)
        .map(toKept),
    lock: async (jobId, step) => orNull(find(jobId, step), toKept),
    setVersion: async (jobId, step, versionId) => {
      Object.assign(find(jobId, step) ?? {}, { versionId });
    },
    remove: async (jobId, steps) => {
      tables.checkpoints = tables.checkpoints.filter(
        (one) => one.jobId !== jobId || !steps.includes(one.step),
      );
    },
  };
}
