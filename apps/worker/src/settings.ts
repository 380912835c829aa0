/** The worker's intervals and patience, in milliseconds. Tests shorten them; an installation has no reason to. */
export interface Timings {
  /** Between heartbeats of an attempt, which also ask whether it was cancelled or fenced. */
  heartbeat: number;
  /** Longest that metrics wait to be written together. */
  metricBatch: number;
  /** Longest that lines of a trainer's log wait to be written together. */
  logBatch: number;
  /** A trainer that says nothing for this long is killed. It sends heartbeats every few seconds. */
  trainerSilence: number;
  /** From a trainer's last word to SIGKILL. */
  stopGrace: number;
  /** From a cancellation to SIGKILL: there is nothing to save. With `heartbeat`, a cancellation takes effect within two seconds. */
  cancelGrace: number;
  /** From a drain to SIGKILL: time to write a checkpoint. */
  drainGrace: number;
  /** How long a report is tried again while Postgres does not answer. Longer than any restart of it. */
  reportPatience: number;
  /** Longest between two rounds of the dispatcher; news bring the next one forward. */
  schedule: number;
  /** Between reconciliations. */
  reconcile: number;
  /** From becoming the dispatcher to the first reconciliation. */
  settle: number;
  /** An attempt whose worker gave no sign of life for this long counts as crashed. Many heartbeats, so that a pause is no death. */
  silentAfter: number;
  /** Longest between looks for deliveries that are due; news of one bring the next look forward. */
  webhooks: number;
  /** From the look-up of a webhook's name to the last byte of its answer. */
  webhookTimeout: number;
  /** How long deliveries that are over are kept. */
  webhookKept: number;
  /** Between tries to become the dispatcher while another worker is. */
  standby: number;
  /** How long a worker has nothing to do before it measures its device's speed, and how long that may take. */
  idleBeforeSpeed: number;
  speedLimit: number;
  /** What was read of a GPU counts for this long, and this long a worker waits for the first reading. */
  gpuSilence: number;
  /** Between writes of the worker's own row, which also tell it whether it is to drain. */
  presence: number;
  /** A worker that was not seen for this long gets no jobs. Some writes of its row, and less than it takes to be declared dead. */
  unseenAfter: number;
  /** A job that a worker has not taken for this long goes to another. */
  untakenAfter: number;
  /** Between searches for checkpoints that were left behind. */
  sweep: number;
  /** What is left of a worker that was not seen for this long is removed. */
  forgetAfter: number;
}

export const defaultTimings: Timings = {
  heartbeat: 700,
  metricBatch: 500,
  logBatch: 500,
  trainerSilence: 60_000,
  stopGrace: 10_000,
  cancelGrace: 700,
  drainGrace: 60_000,
  reportPatience: 600_000,
  schedule: 1000,
  reconcile: 15_000,
  settle: 5000,
  silentAfter: 30_000,
  webhooks: 1000,
  webhookTimeout: 10_000,
  webhookKept: 14 * 86_400_000,
  standby: 2000,
  idleBeforeSpeed: 10_000,
  speedLimit: 60_000,
  gpuSilence: 15_000,
  presence: 3000,
  unseenAfter: 12_000,
  untakenAfter: 60_000,
  sweep: 300_000,
  forgetAfter: 3_600_000,
};
