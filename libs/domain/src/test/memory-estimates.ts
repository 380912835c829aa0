import { type Repositories } from '../ports/repositories';
import { isFinal } from '../state-machine';
import { compare } from './rows';
import { type Tables } from './tables';

export const estimateRepositoryOf = (tables: Tables): Repositories['estimates'] => ({
  uncounted: async ({ datasetSha256, baseModelRevision, limit }) =>
    tables.jobs
      .filter(
        ({ work, state, estimate, baseModel, dataset, validationDataset }) =>
          work.kind === 'train' &&
          !isFinal(state) &&
          estimate?.data === null &&
          baseModel.revision === baseModelRevision &&
          [dataset.sha256, validationDataset?.sha256].includes(datasetSha256),
      )
      .sort((a, b) => compare(a.id, b.id))
      .slice(0, limit)
      .map(({ estimate: _estimate, ...job }) => job),
  replace: async (jobId, estimate) => {
    const { bytes = null, sharedBytes = null } = estimate.memory ?? {};
    const job = tables.jobs.find(({ id }) => id === jobId);
    Object.assign(job ?? {}, { estimate, estimatedBytes: bytes, sharedBytes });
  },
});
