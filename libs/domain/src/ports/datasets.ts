import { type Dataset, type Page, type PageQuery } from '@lowrank/contracts';

/** `desc`: newest first, as lists are unless they say otherwise. */
export type PageOrder = 'asc' | 'desc';

export interface DatasetRepository {
  /** From then on its name's last number is its version at least. */
  insert(teamId: string, dataset: Dataset): Promise<void>;
  /** By its id, or as readDatasetRef reads it; of a hash's digits that several versions begin with, none. */
  find(teamId: string, ref: string): Promise<Dataset | null>;
  /** Those of these ids that there are. */
  withIds(teamId: string, ids: readonly string[]): Promise<Dataset[]>;
  /** The last number that a version of this name ever had, 0: none. Until the transaction ends nobody else makes one. */
  lockName(teamId: string, name: string): Promise<number>;
  /** The version of a name with this content. */
  findContent(teamId: string, content: Pick<Dataset, 'name' | 'sha256' | 'format'>): Promise<Dataset | null>;
  /** What is known of a version besides its content. */
  change(
    teamId: string,
    id: string,
    facts: Pick<Dataset, 'tokens' | 'lossTokens' | 'tokensOf' | 'expiresAt'>,
  ): Promise<void>;
  /** The same; until the transaction ends nobody deletes it. */
  hold(teamId: string, id: string): Promise<Dataset | null>;
  /** `name`: its versions only. */
  list(teamId: string, page: PageQuery & { order?: PageOrder; name?: string }): Promise<Page<Dataset>>;
  /** Of any teams, those whose time has come by `now`, and that neither an unfinished job nor a gate uses. */
  expired(now: string, limit: number): Promise<{ teamId: string; id: string }[]>;
  /** LowrankError in_use when an unfinished job or a gate uses it; false when there is none. Finished jobs keep its hash. */
  delete(teamId: string, id: string): Promise<boolean>;
}
