import { type Grant } from '@lowrank/contracts';

/** What a team lets others read, and what others let it. */
export interface GrantRepository {
  /** Those that the team has made and those that it was made, newest first. */
  list(teamId: string): Promise<Grant[]>;
  /** The one that lets a team read another's adapter. */
  find(fromTeamId: string, adapter: string, toTeamId: string): Promise<Grant | null>;
  /** Takes the place of one of the same adapter to the same team. The adapter is there. */
  put(
    fromTeamId: string,
    grant: { id: string; adapter: string; toTeamId: string; alias: string | null; at: string },
  ): Promise<void>;
  /** Removes one that the team has made, and resolves to it; null when it has made no such grant. */
  remove(fromTeamId: string, id: string): Promise<Grant | null>;
}
