import {
  type DatasetFormat,
  type JobMetric,
  type JobSample,
  type Recipe,
  type VersionMetrics,
} from '@lowrank/contracts';
import { isCancelled } from './errors';
import { type StartingPoint } from './peft';
import { type Ranks } from './ranks';
import { type SharedBases } from './shared-bases';

export type StopReason = 'cancel' | 'drain';

/** Rejection of runTraining after its signal was aborted. */
export class TrainingStopped extends Error {
  constructor(readonly reason: StopReason) {
    super(`training was stopped: ${reason}`);
  }
}

export interface DatasetFile {
  file: string;
  sha256: string;
  format: DatasetFormat;
}

export interface RunOptions {
  recipe: Recipe;
  /** Name of the adapter, for its card. */
  adapter: string;
  base: {
    /** For adapter_config.json and the card. */
    source: string;
    revision: string;
    /** modelKey of its files. */
    key: string;
    /** Folder with configuration and tokenizer. */
    dir: string;
    /** Completes the folder with the weights: called only when the quantized base has to be written. */
    fetchWeights(): Promise<void>;
  };
  /** Left out or null: it starts as the recipe says. */
  initFrom?: StartingPoint | null;
  dataset: DatasetFile;
  /** What it is evaluated on; left out or null: rows held out of the dataset. */
  validationDataset?: DatasetFile | null;
  maxLineBytes: number;
  cacheDir: string;
  /** Folder of this job's checkpoints. */
  checkpointsDir: string;
  threads: number;
  /** Bases that it shares with other runs of this process, which train together then; none: it trains alone. */
  bases?: SharedBases;
  /** GPUs that it trains on together, this process' and those of others; left out: one. The trained bytes do not depend on it. */
  ranks?: Ranks;
  /** Aborted with a StopReason: `drain` writes a checkpoint before the rejection. */
  signal: AbortSignal;
  onMessage(level: 'info' | 'warn', message: string): void;
  /** With the metrics up to the step that nobody has said to be written; only a checkpoint has any. */
  onPlan(totalSteps: number, resumedFromStep: number, metrics: JobMetric[]): void;
  onMetric(metric: JobMetric, trainedTokens: number): void;
  onCheckpoint(step: number, sha256: string): void;
  /** Answers on the way: before the first step, after evaluations, and after the last step. */
  onSamples?(step: number, samples: JobSample[]): void;
  /** A state before the end, after a checkpoint or an evaluation, as it can be published; only if the recipe has any kept. */
  onKept?(state: TrainedAdapter): void;
  /** Step up to which all metrics are written for good. Checkpoints bring along those beyond it. By default everything is written. */
  writtenStep?(): number;
  /**
   * Called before training begins with the run's identity and the step of its newest checkpoint here, 0 without one: puts one that is
   * further into checkpointsDir, if there is such a one elsewhere, and says whether it did.
   */
  fetchCheckpoint?(run: string, beyond: number): Promise<boolean>;
}

/** A trained adapter as it is to be published. */
export interface TrainedAdapter {
  files: { path: string; bytes: Uint8Array }[];
  metrics: VersionMetrics;
  templateSha256: string;
}

/** Whether an error is the answer to the signal, not a failure that came at the same time. */
export function isStop(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || isCancelled(error));
}
