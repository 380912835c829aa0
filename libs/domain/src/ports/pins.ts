import { type Pin } from '@lowrank/contracts';

/** What servers keep loaded; whoever writes has locked the adapter. */
export interface PinRepository {
  /** By adapter and reference. */
  list(teamId: string): Promise<Pin[]>;
  /** Of all teams. */
  all(): Promise<(Pin & { teamId: string })[]>;
  /** Changes nothing where there is one of that reference. */
  put(teamId: string, pin: Pin): Promise<void>;
  /** Returns false when there is none. */
  remove(teamId: string, adapter: string, ref: string): Promise<boolean>;
}
