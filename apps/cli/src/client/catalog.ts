import {
  type Adapter,
  type AdapterQuery,
  adapterSchema,
  type AdapterVersion,
  adapterVersionSchema,
  type Alias,
  aliasSchema,
  type Lineage,
  lineageSchema,
  type NamedAliasMove,
  namedAliasMoveSchema,
  pageSchema,
  type Pin,
  pinSchema,
  type PinStatus,
  pinStatusSchema,
  type Prefetched,
  prefetchedSchema,
  type VersionDiff,
  versionDiffSchema,
} from '@lowrank/contracts';
import { openAsBlob } from 'node:fs';
import { z } from 'zod';
import { type Http } from './http';

const part = encodeURIComponent;
const versionPath = (adapter: string, version: string) =>
  `/api/v1/adapters/${part(adapter)}/versions/${part(version)}`;
const pinPath = (adapter: string, ref: string) => `/api/v1/adapters/${part(adapter)}/pins/${part(ref)}`;
const aliasPath = (adapter: string, alias: string) =>
  `/api/v1/adapters/${part(adapter)}/aliases/${part(alias)}`;

export type AdapterFilter = Partial<Omit<AdapterQuery, 'after' | 'limit'>>;

/** The part of Api that is about finding, comparing and keeping adapters. Errors as in Http. */
export class Catalog {
  constructor(private readonly http: Http) {}

  /** All adapters that a filter lets through, in the order that it asks for. */
  find(filter: AdapterFilter): AsyncGenerator<Adapter, void> {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(filter)) if (value !== undefined) query.set(key, String(value));
    return this.http.pages('/api/v1/adapters', adapterSchema, query);
  }

  /** Deletes an adapter, or one version of it. */
  async delete(adapter: string, version: string | null): Promise<void> {
    const path = version === null ? `/api/v1/adapters/${part(adapter)}` : versionPath(adapter, version);
    await (await this.http.response(path, { method: 'DELETE' })).arrayBuffer();
  }

  restoreAdapter(adapter: string): Promise<Adapter> {
    return this.http.json(`/api/v1/adapters/${part(adapter)}/restore`, adapterSchema, { method: 'POST' });
  }

  restoreVersion(adapter: string, version: string): Promise<AdapterVersion> {
    const path = `${versionPath(adapter, version)}/restore`;
    return this.http.json(path, adapterVersionSchema, { method: 'POST' });
  }

  /** Files of a folder in PEFT's format, by their names there. */
  async importVersion(
    adapter: string,
    files: Record<string, string>,
    fields: { baseModel: string; quantization?: string },
  ): Promise<AdapterVersion> {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) form.set(name, value);
    for (const [name, path] of Object.entries(files)) form.append('file', await openAsBlob(path), name);
    const path = `/api/v1/adapters/${part(adapter)}/versions`;
    return this.http.json(path, adapterVersionSchema, { method: 'POST', form, timeoutMs: 0 });
  }

  async pins(): Promise<PinStatus[]> {
    return (await this.http.json('/api/v1/pins', z.object({ data: z.array(pinStatusSchema) }))).data;
  }

  /** `ref`: `v3`, `latest` or an alias. */
  pin(adapter: string, ref: string): Promise<Pin> {
    return this.http.json(pinPath(adapter, ref), pinSchema, { method: 'PUT', timeoutMs: 0 });
  }

  async unpin(adapter: string, ref: string): Promise<void> {
    await (await this.http.response(pinPath(adapter, ref), { method: 'DELETE' })).arrayBuffer();
  }

  /** Waits until so many servers have it in memory. */
  prefetch(adapter: string, version: string, servers: number): Promise<Prefetched> {
    return this.http.json(`${versionPath(adapter, version)}/prefetch`, prefetchedSchema, {
      ...{ method: 'POST', json: { servers }, timeoutMs: 0 },
    });
  }

  lineage(adapter: string, version: string): Promise<Lineage> {
    return this.http.json(`${versionPath(adapter, version)}/lineage`, lineageSchema);
  }

  /** `to`: the other version, like `support@v3`. */
  diff(adapter: string, version: string, to: string): Promise<VersionDiff> {
    return this.http.json(`${versionPath(adapter, version)}/diff?to=${part(to)}`, versionDiffSchema);
  }

  moveAlias(name: string, alias: string, version: string): Promise<Alias> {
    return this.http.json(aliasPath(name, alias), aliasSchema, { method: 'PUT', json: { version } });
  }

  rollBackAlias(name: string, alias: string): Promise<Alias> {
    return this.http.json(`${aliasPath(name, alias)}/rollback`, aliasSchema, { method: 'POST' });
  }

  async removeAlias(name: string, alias: string): Promise<void> {
    await (await this.http.response(aliasPath(name, alias), { method: 'DELETE' })).arrayBuffer();
  }

  /** The last two hundred moves, newest first. */
  async aliasHistory(name: string, alias: string): Promise<NamedAliasMove[]> {
    const path = `${aliasPath(name, alias)}/history?limit=200`;
    return (await this.http.json(path, pageSchema(namedAliasMoveSchema))).data;
  }
}
