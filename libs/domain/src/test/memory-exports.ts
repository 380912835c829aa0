import { type VersionExport } from '@lowrank/contracts';
import { type Repositories } from '../ports/repositories';
import { compare, ofTeam, orNull, refuseUnless, withoutTeam } from './rows';
import { type Tables } from './tables';

export function exportRepositoryOf(tables: Tables): Repositories['exports'] {
  const isOf = (one: VersionExport, adapter: string, version: number) =>
    one.adapter === adapter && one.version === version;
  const of = (teamId: string, adapter: string, version: number) =>
    ofTeam(tables.exports, teamId).filter((one) => isOf(one, adapter, version));
  return {
    publish: async (teamId, { jobId, versionId, exportFormat: format, certificate, files }, at) => {
      if (tables.exports.some((one) => one.jobId === jobId)) return;
      const version = ofTeam(tables.versions, teamId).find(({ id }) => id === versionId);
      refuseUnless(version !== undefined, 'version');
      refuseUnless(
        tables.jobs.some(({ id }) => id === jobId),
        'job',
      );
      const { adapter = '', number = 0 } = version ?? {};
      tables.exports = tables.exports.filter(
        (one) => one.teamId !== teamId || !isOf(one, adapter, number) || one.format !== format,
      );
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      tables.exports.push({
        ...{ teamId, adapter, version: number, format, jobId, certificate, files, bytes, createdAt: at },
      });
    },
    list: async (teamId, adapter, version) =>
      of(teamId, adapter, version)
        .sort((a, b) => compare(a.format, b.format))
        .map(withoutTeam),
    find: async (teamId, adapter, version, format) =>
      orNull(
        of(teamId, adapter, version).find((one) => one.format === format),
        withoutTeam,
      ),
  };
}
