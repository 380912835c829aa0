import { type EstimateRepository } from '@lowrank/domain';
import { toJson, type Tx } from '../values';
import { toJobRecord } from './jobs';

export const estimateRepository = (db: Tx): EstimateRepository => ({
  async uncounted({ datasetSha256, baseModelRevision, limit }) {
    // By a small partial index of the migration.
    const found = await db.$queryRaw<{ id: string }[]>`
      SELECT id FROM jobs
      WHERE work IS NULL AND state NOT IN ('succeeded', 'cancelled', 'failed') AND estimate -> 'data' = 'null'
        AND base_model_revision = ${baseModelRevision}
        AND (dataset_sha256 = ${datasetSha256} OR validation_dataset ->> 'sha256' = ${datasetSha256})
      ORDER BY id LIMIT ${limit}`;
    const rows = await db.job.findMany({
      where: { id: { in: found.map(({ id }) => id) } },
      orderBy: { id: 'asc' },
    });
    return rows.map(toJobRecord);
  },

  async replace(jobId, estimate) {
    const { bytes = null, sharedBytes = null } = estimate.memory ?? {};
    await db.job.updateMany({
      where: { id: jobId },
      data: { estimate: toJson(estimate), estimatedBytes: bytes, sharedBytes },
    });
  },
});
