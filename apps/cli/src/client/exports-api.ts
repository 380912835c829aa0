import {
  type CreateExportInput,
  type ExportFormat,
  type JobDetail,
  jobDetailSchema,
  type VersionExport,
  versionExportSchema,
} from '@lowrank/contracts';
import { z } from 'zod';
import { type Http } from './http';

const part = encodeURIComponent;
const pathOf = (adapter: string, version: string | number) =>
  `/api/v1/adapters/${part(adapter)}/versions/${part(version)}/exports`;

/** Versions in other formats. `version` is `v3`, `3`, `latest` or an alias. */
export class ExportsApi {
  constructor(private readonly http: Http) {}

  submit(adapter: string, version: string, json: CreateExportInput): Promise<JobDetail> {
    return this.http.json(pathOf(adapter, version), jobDetailSchema, { method: 'POST', json });
  }

  async list(adapter: string, version: string): Promise<VersionExport[]> {
    const page = z.object({ data: z.array(versionExportSchema) });
    return (await this.http.json(pathOf(adapter, version), page)).data;
  }

  find(adapter: string, version: number | string, format: ExportFormat): Promise<VersionExport> {
    return this.http.json(`${pathOf(adapter, version)}/${format}`, versionExportSchema);
  }

  file({ adapter, version, format }: VersionExport, path: string): Promise<Response> {
    const file = `${pathOf(adapter, version)}/${format}/files/${part(path)}`;
    return this.http.response(file, { timeoutMs: 0 });
  }
}
