import { type Alias, type AliasMove } from '@lowrank/contracts';

/** Aliases of adapters that are there; whoever writes has locked the adapter. */
export interface AliasRepository {
  /** By name. */
  list(teamId: string, adapter: string): Promise<Alias[]>;
  find(teamId: string, adapter: string, name: string): Promise<Alias | null>;
  /** Moves of one alias, of removed ones too: the newest first, from before a `seq`. */
  moves(
    teamId: string,
    adapter: string,
    alias: string,
    page: { before?: number; limit: number },
  ): Promise<AliasMove[]>;
  /** The move of that `seq`. */
  move(teamId: string, adapter: string, alias: string, seq: number): Promise<AliasMove | null>;
  /** Writes down a move, and where the alias stands after it. */
  record(teamId: string, adapter: string, alias: string, move: AliasMove): Promise<void>;
}
