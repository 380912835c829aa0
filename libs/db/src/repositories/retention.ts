import { finalJobStates } from '@lowrank/contracts';
import { type RetentionRepository } from '@lowrank/domain';
import { type Tx } from '../values';

export const retentionRepository = (db: Tx): RetentionRepository => ({
  removeVersions: (before, limit) => db.$executeRaw`
    DELETE FROM adapter_versions WHERE id IN (
      SELECT v.id FROM adapter_versions v JOIN adapters a ON a.id = v.adapter_id
      WHERE least(v.deleted_at, a.deleted_at) < ${new Date(before)} AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE team_id = a.team_id AND state <> ALL (${[...finalJobStates]}) AND (
          init_from ->> 'versionId' = v.id
          OR work -> 'version' ->> 'id' = v.id
          OR work -> 'parents' @> jsonb_build_array(jsonb_build_object('id', v.id))))
      LIMIT ${limit})`,

  async removeAdapters(before, limit) {
    // In turn: what is deleted in one part of a statement is still seen by its others.
    await db.$executeRaw`
      UPDATE adapters SET description = '', card = NULL, tags = '[]', latest_version = NULL
      WHERE deleted_at < ${new Date(before)} AND (description, tags, latest_version) IS DISTINCT FROM ('', '[]'::jsonb, NULL)
        AND NOT EXISTS (SELECT 1 FROM adapter_versions WHERE adapter_id = adapters.id)`;
    return db.$executeRaw`
      DELETE FROM adapters WHERE id IN (
        SELECT a.id FROM adapters a WHERE a.deleted_at < ${new Date(before)}
          AND NOT EXISTS (SELECT 1 FROM adapter_versions WHERE adapter_id = a.id)
          AND NOT EXISTS (SELECT 1 FROM jobs WHERE team_id = a.team_id AND adapter = a.name)
          AND NOT EXISTS (SELECT 1 FROM sweeps WHERE team_id = a.team_id AND adapter = a.name)
        LIMIT ${limit})`;
  },

  removeCheckpoints: (before, limit) => db.$executeRaw`
    DELETE FROM job_checkpoints WHERE (job_id, step) IN (
      SELECT c.job_id, c.step FROM job_checkpoints c JOIN jobs j ON j.id = c.job_id
      WHERE c.version_id IS NULL AND j.finished_at < ${new Date(before)}
      LIMIT ${limit})`,

  async discarded(before, limit) {
    const rows = await db.discardedBlob.findMany({
      where: { discardedAt: { lt: new Date(before) } },
      orderBy: [{ discardedAt: 'asc' }, { sha256: 'asc' }],
      take: limit,
    });
    return rows.map(({ sha256 }) => sha256);
  },

  async unreferenced(blobs) {
    const rows = await db.$queryRaw<{ sha256: string }[]>`
      SELECT blob AS sha256 FROM unnest(${blobs}::text[]) blob, jsonb_build_array(jsonb_build_object('sha256', blob)) file
      WHERE NOT EXISTS (SELECT 1 FROM adapter_versions WHERE files @> file)
        AND NOT EXISTS (SELECT 1 FROM version_exports WHERE files @> file)
        AND NOT EXISTS (SELECT 1 FROM base_models WHERE files @> file)
        AND NOT EXISTS (SELECT 1 FROM datasets WHERE datasets.sha256 = blob)
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE blob IN (dataset_sha256, validation_dataset ->> 'sha256') AND state <> ALL (${[...finalJobStates]}))
        AND NOT EXISTS (SELECT 1 FROM job_checkpoints WHERE manifest -> 'files' @> file)
        AND NOT EXISTS (SELECT 1 FROM sweep_trials WHERE manifest -> 'files' @> file)
      ORDER BY blob`;
    return rows.map(({ sha256 }) => sha256);
  },

  async forget(blobs) {
    await db.discardedBlob.deleteMany({ where: { sha256: { in: blobs } } });
  },
});
