import { type Lineage, lineageSchema } from '@lowrank/contracts';
import { type Http } from './http';

const part = encodeURIComponent;
const versionPath = (adapter: string, version: string) =>
  `/api/v1/adapters/${part(adapter)}/versions/${part(version)}`;

/** The part of Api that is about finding, comparing and keeping adapters. Errors as in Http. */
export class Catalog {
  constructor(private readonly http: Http) {}

  lineage(adapter: string, version: string): Promise<Lineage> {
    return this.http.json(`${versionPath(adapter, version)}/lineage`, lineageSchema);
  }
}
