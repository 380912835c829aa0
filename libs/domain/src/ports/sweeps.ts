import {
  type CreateSweep,
  type Manifest,
  type Page,
  type PageQuery,
  type Sweep,
  type SweepState,
  type SweepTrial,
} from '@lowrank/contracts';

/** What is decided about a sweep when it is made. */
export type NewSweep = Pick<
  Sweep,
  'id' | 'baseModel' | 'dataset' | 'validationDataset' | 'adapter' | 'createdAt'
> &
  Pick<CreateSweep, 'recipe' | 'space' | 'method' | 'metric' | 'maxConcurrent'>;

export type SweepRecord = Sweep & { teamId: string };

/** What a trial has published: it becomes a version, of that id, only when it is promoted. */
export interface TrialResult {
  versionId: string;
  manifest: Manifest;
}

export interface SweepRepository {
  insert(teamId: string, sweep: NewSweep): Promise<void>;
  /** After the trials' jobs, which name the sweep. */
  addTrials(id: string, trials: Pick<SweepTrial, 'number' | 'jobId' | 'parameters'>[]): Promise<void>;
  find(teamId: string, id: string): Promise<Sweep | null>;
  list(teamId: string, page: PageQuery & { state?: SweepState }): Promise<Page<Sweep>>;
  /** Any team's sweep, its row locked until the transaction ends. Whoever locks a job too locks that first. */
  lock(id: string): Promise<SweepRecord | null>;
  update(
    id: string,
    patch: Partial<Pick<Sweep, 'state' | 'cancelRequested' | 'promoted' | 'finishedAt'>>,
  ): Promise<void>;
  /** Running sweeps of which there is nothing to wait for: being cancelled, or all trials over. */
  unsettled(limit: number): Promise<string[]>;
  /** In order of their numbers. */
  trials(id: string): Promise<SweepTrial[]>;
  /** Keeps what a trial has published; a second call for the same trial changes nothing. */
  keepResult(id: string, trial: number, result: TrialResult): Promise<void>;
  result(id: string, trial: number): Promise<TrialResult | null>;
  /**
   * Writes down what a trial's evaluation at a rung gave. Resolves to false, changing nothing, when it has reported there before, as an
   * attempt does that takes up an earlier checkpoint.
   */
  report(
    id: string,
    report: { rung: number; trial: number; step: number; value: number; at: string },
  ): Promise<boolean>;
  /** What has been reported at a rung, in no promised order. */
  reported(id: string, rung: number): Promise<number[]>;
}
