/** The worker's intervals and patience, in milliseconds. Tests shorten them; an installation has no reason to. */
export interface Timings {
  /** Between heartbeats of an attempt, which also ask whether it was cancelled or fenced. */
  heartbeat: number;
  /** Longest that metrics wait to be written together. */
  metricBatch: number;
  /** A trainer that says nothing for this long is killed. It sends heartbeats every few seconds. */
  trainerSilence: number;
  /** From a cancellation, or a trainer's last word, to SIGKILL. */
  stopGrace: number;
  /** From a drain to SIGKILL: time to write a checkpoint. */
  drainGrace: number;
  /** How long a report is tried again while Postgres does not answer. Longer than any restart of it. */
  reportPatience: number;
  /** Between looks into the outbox, when it was empty. */
  dispatch: number;
  /** Between reconciliations. */
  reconcile: number;
  /** From becoming the dispatcher to the first reconciliation. */
  settle: number;
  /** An attempt whose worker gave no sign of life for this long counts as crashed. Many heartbeats, so that a pause is no death. */
  silentAfter: number;
  /** Between tries to become the dispatcher while another worker is. */
  standby: number;
  /** Between writes of the worker's own row. */
  presence: number;
}

export const defaultTimings: Timings = {
  heartbeat: 1000,
  metricBatch: 500,
  trainerSilence: 60_000,
  stopGrace: 10_000,
  drainGrace: 60_000,
  reportPatience: 600_000,
  dispatch: 200,
  reconcile: 15_000,
  settle: 5000,
  silentAfter: 30_000,
  standby: 2000,
  presence: 5000,
};
