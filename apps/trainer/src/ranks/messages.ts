import { type ErrorCode } from '@lowrank/contracts';
import { type MicroBatchLoss, type RankStart, type StepWork } from '@lowrank/training';

// Between a trainer and the processes of its other ranks: both are of one build, and messages carry typed arrays as they are.

/** What another rank has to do. It answers each with one `done`, in their order, or fails and ends. */
export type Task =
  | { type: 'start'; start: RankStart; groupId: Uint8Array; rank: number; ranks: number }
  /** A file with an exported state of the adapter. */
  | { type: 'state'; file: string }
  | { type: 'step'; work: StepWork };

export type ToRank =
  | Task
  /** To leave the group, with all others, and end. */
  | { type: 'leave' }
  /** What is being computed is no longer wanted. */
  | { type: 'stop' };

export type FromRank =
  | { type: 'done' }
  /** Of the step that is being computed; comes before its `done`, and before any rank can have updated its weights. */
  | { type: 'losses'; losses: MicroBatchLoss[] }
  | { type: 'failed'; code: ErrorCode; message: string };
