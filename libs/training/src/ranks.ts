import { type Recipe } from '@lowrank/contracts';
import { type AdapterSpec, type Compute, type Group, type Kernels } from '@lowrank/kernels';
import { type MicroBatchLoss, type StepWork } from './optimizer-step';

/** What another rank needs to have the same adapter on the same base. Plain data. */
export interface RankStart {
  /** The quantized base. */
  file: string;
  threads: number;
  compute: Compute;
  spec: AdapterSpec;
  recipe: Pick<Recipe, 'objective' | 'training'>;
}

/** The GPUs that train one adapter together. Each is a rank with a process of its own; this process is rank 0. */
export interface Ranks {
  /** Starts the others and joins them to a group. Rejects with LowrankError. */
  join(kernels: Kernels, start: RankStart): Promise<JoinedRanks>;
}

export interface JoinedRanks {
  group: Group;
  /** Aborted once another rank has failed, with its LowrankError: what waits for that rank has to be stopped. */
  failure: AbortSignal;
  /** Makes the others' adapters those of a state. Their next step comes after it. */
  importState(state: Uint8Array): Promise<void>;
  /** Gives the others what they have to do of a step. Resolves to their losses; rejects as `failure` says. */
  step(work: StepWork): Promise<MicroBatchLoss[]>;
  /** Ends what the others do of a step: this rank has been stopped. */
  stop(): void;
  close(): Promise<void>;
}
