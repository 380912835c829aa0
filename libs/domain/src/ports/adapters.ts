import {
  type Adapter,
  type AdapterQuery,
  type AdapterVersion,
  type DescribeAdapter,
  type NewVersion,
  type Page,
  type PageQuery,
} from '@lowrank/contracts';

/** Which version, and since when. */
export type VersionName = Pick<AdapterVersion, 'adapter' | 'number' | 'createdAt'>;

/** Finds what is not deleted, unless a method says otherwise. */
export interface AdapterRepository {
  /** Gets or makes the adapter of that name; LowrankError conflict when it exists for another base model, or is deleted. */
  ensure(
    teamId: string,
    adapter: { id: string; name: string; baseModelName: string; at: string },
  ): Promise<Adapter>;
  find(teamId: string, name: string): Promise<Adapter | null>;
  /** The same, its row locked until the transaction ends. */
  lock(teamId: string, name: string): Promise<Adapter | null>;
  /** A page of its own, and of those that other teams let it read, that the query lets through. LowrankError validation_failed when `after` names none of these. */
  list(teamId: string, query: PageQuery & Partial<AdapterQuery>): Promise<Page<Adapter>>;
  /** What somebody has written as its card; null: nothing, or there is no such adapter. */
  card(teamId: string, name: string): Promise<string | null>;
  describe(teamId: string, name: string, changes: DescribeAdapter & { at: string }): Promise<void>;
  /**
   * Makes the manifest the next version of its adapter. What a job came to, once: a second call for the same job returns the first's row.
   */
  publish(teamId: string, version: { id: string; manifest: NewVersion; at: string }): Promise<AdapterVersion>;
  /** Of all adapters, the newest first. */
  allVersions(teamId: string, limit: number): Promise<VersionName[]>;
  /** By number, the highest first: those that are not deleted, or those that are. */
  versions(teamId: string, name: string, deleted?: boolean): Promise<AdapterVersion[]>;
  version(teamId: string, name: string, number: number): Promise<AdapterVersion | null>;
  /** Also of one that is deleted. */
  versionById(teamId: string, id: string): Promise<AdapterVersion | null>;
  /** A version, those that it comes from and those that come from it, over any number of steps: the nearest `limit`. */
  related(teamId: string, id: string, limit: number): Promise<AdapterVersion[]>;
  /** The newest version with these files; see revisionOf. */
  versionByRevision(teamId: string, name: string, revision: string): Promise<AdapterVersion | null>;
  /** Deletes (at a time) or restores (null) a version of an adapter that is locked; false when there is none of that number. */
  setVersionDeleted(teamId: string, name: string, number: number, at: string | null): Promise<boolean>;
  /** Deletes (at a time) or restores (null) an adapter; false when there is none of that name. */
  setDeleted(teamId: string, name: string, at: string | null): Promise<boolean>;
}
