import { type ExportFormat, type VersionExport } from '@lowrank/contracts';
import { type ExportRepository } from '@lowrank/domain';
import { type VersionExportModel } from '../generated/models';
import { fromJson, iso, toJson, type Tx } from '../values';

const toExport = (adapter: string, version: number, row: VersionExportModel): VersionExport => ({
  adapter,
  version,
  format: row.format as ExportFormat,
  jobId: row.jobId,
  certificate: fromJson(row.certificate),
  files: fromJson(row.files),
  bytes: Number(row.bytes),
  createdAt: iso(row.createdAt),
});

export const exportRepository = (db: Tx): ExportRepository => ({
  async publish(teamId, { jobId, versionId, exportFormat: format, certificate, files }, at) {
    if ((await db.versionExport.findUnique({ where: { jobId } })) !== null) return;
    const data = {
      ...{ jobId, certificate: toJson(certificate), files: toJson(files), createdAt: new Date(at) },
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    };
    await db.versionExport.upsert({
      where: { versionId_format: { versionId, format } },
      create: { teamId, versionId, format, ...data },
      update: data,
    });
  },

  async list(teamId, adapter, version) {
    const rows = await db.versionExport.findMany({
      where: { teamId, version: { number: version, adapter: { teamId, name: adapter } } },
      orderBy: { format: 'asc' },
    });
    return rows.map((row) => toExport(adapter, version, row));
  },

  async find(teamId, adapter, version, format) {
    const row = await db.versionExport.findFirst({
      where: { teamId, format, version: { number: version, adapter: { teamId, name: adapter } } },
    });
    return row && toExport(adapter, version, row);
  },
});
