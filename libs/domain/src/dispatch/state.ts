/*
 * What there is when a plan is made: teams, workers, jobs that have a slot and jobs that wait for one. Times are milliseconds since 1970,
 * memory is bytes.
 */

export interface PlanTeam {
  id: string;
  weight: number;
  /** Slots that its jobs may hold at a time; null: no limit. */
  maxRunning: number | null;
  /** Device seconds used, older ones weighing less. */
  usage: number;
  /** Whether its device seconds of this month are used up: nothing of it starts. */
  exhausted: boolean;
}

export interface PlanWorker {
  id: string;
  hostname: string;
  slots: number;
  deviceClass: string;
  /** For all slots together; 0: not known, and then anything fits. */
  memoryBytes: number;
}

export interface Needs {
  /** null: any. */
  deviceClasses: readonly string[] | null;
  /** null: an even share of the worker's. */
  memoryBytes: number | null;
}

/** A job that waits for a slot and may start. */
export interface WaitingJob extends Needs {
  id: string;
  teamId: string;
  priority: number;
  /** Order within the team, the smaller first; see rankAt. */
  rank: number;
  waitingSince: number;
  /** Machine that has its checkpoints. */
  host: string | null;
}

/** A slot that is held, or on its way to a job: by one job, or by a party, which is asked for it as a whole. */
export interface PlacedJob extends Needs {
  /** Of the job, or of one of the party. */
  id: string;
  teamId: string;
  workerId: string;
  priority: number;
  rank: number;
  /** Since when it holds the slot; null: it is on its way. */
  since: number | null;
  /** Whether it has been asked for its slot already. */
  leaving: boolean;
  /** Whether it can write a checkpoint and go on elsewhere. */
  movable: boolean;
}

export interface DispatchState {
  now: number;
  teams: readonly PlanTeam[];
  workers: readonly PlanWorker[];
  placed: readonly PlacedJob[];
  waiting: readonly WaitingJob[];
}
