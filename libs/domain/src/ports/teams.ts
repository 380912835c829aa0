import { type Quotas } from '@lowrank/contracts';

export interface TeamRecord extends Quotas {
  id: string;
  name: string;
}

/** A team as the dispatcher sees it. */
export interface TeamShare extends TeamRecord {
  /** Device seconds of attempts that have ended, since `monthStart`. */
  monthSeconds: number;
  /** The same of the last day, each hour's weighed by e^(−age / decaySeconds). */
  recentSeconds: number;
}

export interface TeamRepository {
  find(id: string): Promise<TeamRecord | null>;
  /** The same, its row locked until the transaction ends: for checks of a quota that others may be using up. */
  lock(id: string): Promise<TeamRecord | null>;
  findByName(name: string): Promise<TeamRecord | null>;
  /** With nothing decided about it. */
  insert(team: { id: string; name: string }): Promise<void>;
  change(id: string, changes: Partial<Quotas & { name: string }>): Promise<void>;
  /** Adds device seconds to hours, which are ISO times. */
  charge(id: string, hours: { hour: string; seconds: number }[]): Promise<void>;
  /** One team, or all in order of their ids. */
  shares(options: {
    now: string;
    monthStart: string;
    decaySeconds: number;
    id?: string;
  }): Promise<TeamShare[]>;
}
