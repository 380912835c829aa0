import {
  type AdapterVersion,
  type BaseModel,
  type Dataset,
  type Estimate,
  LowrankError,
  type MemoryEstimate,
  type Recipe,
} from '@lowrank/contracts';
import { type DataPlan } from '../batches/data-plan';
import { before } from '../clock-and-ids';
import { workerSeenWithinMs } from '../dispatch/overview';
import { type Material } from '../jobs/material';
import { type Ports } from '../ports';
import { isUncounted, type Uncounted } from '../ports/data-planner';
import { type NewJob } from '../ports/repositories';
import { assertFits, noPlanner } from './estimate-job';
import { memoryEstimate, tokenizerBytesOf, warningsOfPlacement } from './estimate';
import { predictWorkMemory, type WorkMemoryInput } from './memory/work';
import { servabilityOf } from './servability';
import { estimateDevices, mayRunOn, threadsOf } from './workers';

/** A job that does not train, before it is written. */
export interface PlannedWork extends Pick<Material, 'baseModel' | 'dataset' | 'validationDataset'> {
  work: WorkMemoryInput['work'];
  /** Those that it works with, in the order of the work. */
  versions: readonly Pick<AdapterVersion, 'recipe'>[];
}

/** Every row whole: nothing is trained on them. */
const wholeRows = (recipe: Recipe, { contextLength }: BaseModel): Recipe => ({
  ...recipe,
  training: { ...recipe.training, sequenceLength: contextLength, tooLong: 'truncate', rows: 1 },
});

async function countRows(
  { planner = noPlanner }: Pick<Ports, 'planner'>,
  { baseModel, dataset, validationDataset, versions }: PlannedWork,
): Promise<DataPlan | Uncounted> {
  const [{ recipe }] = versions as [PlannedWork['versions'][number]];
  const measured: Dataset = validationDataset ?? dataset;
  try {
    return await planner.plan(baseModel, measured, wholeRows(recipe, baseModel));
  } catch (error) {
    // Rows with nothing to learn in them may do for comparing answers: the trainer will know.
    if (error instanceof LowrankError) return { problem: error.message.replace(/\.$/, '') };
    throw error;
  }
}

function memoryOf(
  { baseModel, work, versions }: PlannedWork,
  plan: DataPlan,
  threads: number,
): MemoryEstimate | null {
  const { decoder, vocabSize, contextLength, files } = baseModel;
  if (decoder === null) return null;
  const { bytes, parts } = predictWorkMemory({
    model: { decoder, vocabSize, contextLength },
    work,
    recipes: versions.map(({ recipe }) => recipe),
    threads,
    dataset: { conversations: plan.conversations, tokens: plan.conversationTokens },
    longest: plan.data.lengths.at(-1)?.upTo ?? contextLength,
    tokenizerBytes: tokenizerBytesOf(files),
  });
  // It has a process to itself: nothing of it is shared.
  return memoryEstimate(bytes, 0, parts);
}

/**
 * What a job that does not train takes of memory, and whether the workers that are there have it: the estimate that it is submitted with.
 * Errors: no_worker_fits when none has it, as for jobs that train.
 */
export async function estimateWork(
  ports: Pick<Ports, 'unitOfWork' | 'clock' | 'planner'>,
  planned: PlannedWork,
  schedule: Pick<NewJob, 'placement' | 'notBefore'>,
): Promise<Estimate> {
  const { placement } = schedule;
  const at = ports.clock.now();
  const workers = await ports.unitOfWork.acrossTeams.read(({ workers: there }) =>
    there.seenSince(before(at, workerSeenWithinMs)),
  );
  const plan = await countRows(ports, planned);
  const threads = threadsOf(workers.filter((worker) => mayRunOn(worker, placement)));
  const memory = isUncounted(plan) ? null : memoryOf(planned, plan, threads);
  const needed = placement.memoryBytes ?? memory?.bytes ?? null;
  const { baseModel, versions } = planned;
  const [{ recipe }] = versions as [PlannedWork['versions'][number]];
  const warnings = [...warningsOfPlacement(placement, memory)];
  if (isUncounted(plan)) warnings.push(`The tokens are not counted: ${plan.problem}. Memory is not known.`);
  const estimate: Estimate = {
    ...{ data: null, memory, operations: null },
    devices: estimateDevices(workers, placement, needed, () => null),
    servability: servabilityOf(recipe, baseModel),
    ...{ proposals: [], warnings },
  };
  assertFits(estimate, schedule, at);
  return estimate;
}
