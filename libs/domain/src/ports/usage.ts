import { type Actor, type Tokens, type UsageDimension, type UsageRow } from '@lowrank/contracts';

/** What somebody's completions by one model have taken on one day, as one writer has counted it. */
export interface CountedUsage {
  teamId: string;
  /** Of UTC, `2026-11-26`. */
  day: string;
  actor: Actor;
  model: string;
  requests: number;
  tokens: Tokens;
}

export interface UsageRepository {
  /** Writes down all that a writer has counted, in place of what it wrote before: to write the same again changes nothing. */
  put(writer: string, counted: readonly CountedUsage[]): Promise<void>;
  /** From day to day, both included, told apart by some dimensions. `teamId` null: of all teams, told apart by team besides. */
  sum(
    teamId: string | null,
    days: { since: string; until: string },
    by: readonly UsageDimension[],
  ): Promise<UsageRow[]>;
}
