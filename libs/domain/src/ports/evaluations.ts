import { type Evaluation, type EvaluationManifest, type EvaluationMove, type Gate } from '@lowrank/contracts';

export interface EvaluationRepository {
  /** Writes down what a job has measured. Once per job: a second call changes nothing. */
  publish(
    teamId: string,
    manifest: EvaluationManifest,
    facts: Pick<Evaluation, 'dataset' | 'limits' | 'move'> & { at: string },
  ): Promise<void>;
  /** What became of the move that was to follow. */
  setMove(jobId: string, move: EvaluationMove): Promise<void>;
  /** Of one version, the newest first. */
  list(teamId: string, adapter: string, version: number): Promise<Evaluation[]>;
}

/** Gates of adapters that are there; whoever writes has locked the adapter. */
export interface GateRepository {
  /** By alias. */
  list(teamId: string, adapter: string): Promise<Gate[]>;
  find(teamId: string, adapter: string, alias: string): Promise<Gate | null>;
  /** Takes the place of one on the same alias. */
  put(teamId: string, gate: Gate): Promise<void>;
  /** Returns false when there is none. */
  remove(teamId: string, adapter: string, alias: string): Promise<boolean>;
}
