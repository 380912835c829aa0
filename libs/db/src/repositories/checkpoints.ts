import { type CheckpointRepository, type KeptCheckpoint } from '@lowrank/domain';
import { type Prisma } from '../generated/client';
import { fromJson, iso, type Tx } from '../values';

const shown = {
  include: { version: { select: { id: true, number: true, deletedAt: true } } },
} satisfies Prisma.JobCheckpointDefaultArgs;

type Row = Prisma.JobCheckpointGetPayload<typeof shown>;

const toKept = ({ step, at, manifest, version }: Row): KeptCheckpoint => ({
  step,
  at: iso(at),
  manifest: fromJson(manifest),
  version: version && { id: version.id, number: version.number, isDeleted: version.deletedAt !== null },
});

export const checkpointRepository = (db: Tx): CheckpointRepository => ({
  async put(jobId, step, manifest, at) {
    const json = JSON.stringify(manifest);
    await db.$executeRaw`
      INSERT INTO job_checkpoints (job_id, step, at, manifest)
      VALUES (${jobId}, ${step}, ${new Date(at)}, ${json}::jsonb)
      ON CONFLICT (job_id, step) DO UPDATE SET at = excluded.at, manifest = excluded.manifest,
        version_id = CASE WHEN job_checkpoints.manifest -> 'files' = excluded.manifest -> 'files'
          THEN job_checkpoints.version_id END`;
  },

  async list(jobId) {
    const rows = await db.jobCheckpoint.findMany({ where: { jobId }, orderBy: { step: 'desc' }, ...shown });
    return rows.map(toKept);
  },

  async lock(jobId, step) {
    await db.$queryRaw`SELECT 1 FROM job_checkpoints WHERE job_id = ${jobId} AND step = ${step} FOR UPDATE`;
    const row = await db.jobCheckpoint.findUnique({ where: { jobId_step: { jobId, step } }, ...shown });
    return row && toKept(row);
  },

  async setVersion(jobId, step, versionId) {
    await db.jobCheckpoint.update({ where: { jobId_step: { jobId, step } }, data: { versionId } });
  },

  async remove(jobId, steps) {
    if (steps.length > 0) await db.jobCheckpoint.deleteMany({ where: { jobId, step: { in: steps } } });
  },
});
