import { type ExportFormat, type ExportManifest, type VersionExport } from '@lowrank/contracts';

export interface ExportRepository {
  /** Makes it the version's export in that format, in place of the one before. Once per job: a second call changes nothing. */
  publish(teamId: string, manifest: ExportManifest, at: string): Promise<void>;
  /** Of one version, by format. */
  list(teamId: string, adapter: string, version: number): Promise<VersionExport[]>;
  find(teamId: string, adapter: string, version: number, format: ExportFormat): Promise<VersionExport | null>;
}
