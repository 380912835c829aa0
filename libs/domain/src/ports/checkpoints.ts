import { type Manifest } from '@lowrank/contracts';

/** A state of a job's adapter that is kept, with what a version would be made of. */
export interface KeptCheckpoint {
  step: number;
  at: string;
  manifest: Manifest;
  /** The version that it was made; null: none, or one that is removed for good. */
  version: { id: string; number: number; isDeleted: boolean } | null;
}

export interface CheckpointRepository {
  /** Replaces the one of the same step: an attempt repeats steps. With the very same files it stays the version that it was. */
  put(jobId: string, step: number, manifest: Manifest, at: string): Promise<void>;
  /** The newest step first. */
  list(jobId: string): Promise<KeptCheckpoint[]>;
  /** One, its row locked until the transaction ends. */
  lock(jobId: string, step: number): Promise<KeptCheckpoint | null>;
  setVersion(jobId: string, step: number, versionId: string): Promise<void>;
  remove(jobId: string, steps: number[]): Promise<void>;
}
