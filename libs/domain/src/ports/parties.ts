/** Jobs of one team that hold one slot together, in one trainer. */
export interface PartyRecord {
  id: string;
  /** Those that hold the slot still, one at least. */
  members: number;
  /** What each member has been charged with since the party began, in seconds as of `clockAt`: it runs at 1 / members. */
  clock: number;
  clockAt: string;
  /** What its trainer takes of the worker's memory, bytes; null: not known. */
  memoryBytes: number | null;
}

export interface PartyRepository {
  insert(party: PartyRecord): Promise<void>;
  /** Its row locked until the transaction ends. Who locks a job's row too does that first. */
  lock(id: string): Promise<PartyRecord | null>;
  update(party: PartyRecord): Promise<void>;
  remove(id: string): Promise<void>;
  list(): Promise<PartyRecord[]>;
}
