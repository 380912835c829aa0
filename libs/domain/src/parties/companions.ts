import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { accepts, bytesOn } from '../dispatch/board';
import { placedSlots } from '../dispatch/placed';
import { type JobRecord, type Repositories, type WorkerRecord } from '../ports/repositories';
import { type JobMemory, memoryOf, memoryTogether } from './party-memory';

/** A job and what it is made from. */
export interface JobWithInputs {
  job: JobRecord;
  baseModel: BaseModel;
  dataset: Dataset;
}

/** What a worker says of its trainers. */
export interface TrainerLimits {
  /** Most jobs that one trains together. */
  jobs: number;
  /** Threads that each has. */
  threads: number;
}

export interface Companions {
  jobs: JobWithInputs[];
  /** What their trainer takes with the lead, bytes; null: not known. */
  memoryBytes: number | null;
}

const nobody: Companions = { jobs: [], memoryBytes: null };

/**
 * Most tokens of a micro-batch with which a job is trained together with others that it has nothing to do with. Of small micro-batches
 * together gain half and more; large ones keep the cores busy by themselves, and the first job would only end later (docs/fairness.md).
 */
export const smallBatchTokens = 256;

/** Candidates looked at, for each place that there is. */
const looksPerPlace = 8;

const isSmall = ({ recipe: { training } }: JobRecord): boolean =>
  training.rows * training.sequenceLength <= smallBatchTokens;

/** Whether the kernels can make one step of theirs, and it gains something. */
function suits(lead: JobRecord, job: JobRecord): boolean {
  const [a, b] = [lead.recipe, job.recipe];
  return (
    isSmall(lead) &&
    isSmall(job) &&
    a.base.quantization === b.base.quantization &&
    a.base.doubleQuantization === b.base.doubleQuantization &&
    a.training.compute === b.training.compute &&
    a.training.checkpointActivations === b.training.checkpointActivations &&
    (a.objective.type === 'sft') === (b.objective.type === 'sft')
  );
}

/**
 * The queued jobs that are to be trained together with one that is about to start, in the slot that it has: those of its team, base model
 * and priority that suit it, as far as the slot's memory goes, in the order in which they wait. The rows of those that it resolves to are
 * locked. A job whose last attempt came to nothing trains alone, so that one that breaks its trainer breaks no other's for long.
 */
export async function findCompanions(
  repositories: Repositories,
  lead: JobWithInputs,
  worker: WorkerRecord,
  limits: TrainerLimits,
  now: string,
): Promise<Companions> {
  if (limits.jobs <= 1 || lead.job.fruitlessAttempts > 0 || !isSmall(lead.job)) return nobody;
  const memories: JobMemory[] = [];
  const room = await roomFor(repositories, lead.job, worker);
  const fits = (candidate: JobWithInputs): boolean => {
    if (worker.memoryBytes === 0) return true;
    const memory = memoryOf(candidate, limits.threads);
    if (memory === null || memoryTogether([...memories, memory]) > room) return false;
    memories.push(memory);
    return true;
  };
  if (!fits(lead)) return nobody;
  const alike = await repositories.jobs.lockAlike(lead.job, now, looksPerPlace * (limits.jobs - 1));
  const jobs: JobWithInputs[] = [];
  for (const job of alike) {
    if (jobs.length + 1 >= limits.jobs) break;
    if (!suits(lead.job, job) || !accepts(worker, job.placement)) continue;
    const dataset = await repositories.datasets.find(job.teamId, job.dataset.id);
    if (dataset === null) continue;
    const candidate = { job, baseModel: lead.baseModel, dataset };
    if (fits(candidate)) jobs.push(candidate);
  }
  return { jobs, memoryBytes: memories.length === 0 ? null : memoryTogether(memories) };
}

/**
 * Memory that a job's trainer may take: an even share of the worker's, or what the dispatcher has counted for the job if that is more, but
 * no more than the other slots leave.
 */
async function roomFor(
  { jobs, parties }: Repositories,
  lead: JobRecord,
  worker: WorkerRecord,
): Promise<number> {
  const placed = (await jobs.placed()).filter(({ id }) => id !== lead.id);
  const others = placedSlots(placed, await parties.list()).filter(({ workerId }) => workerId === worker.id);
  const free = others.reduce((bytes, slot) => bytes - bytesOn(worker, slot), worker.memoryBytes);
  const share = worker.memoryBytes / worker.slots;
  return Math.max(bytesOn(worker, lead.placement), Math.min(free, share));
}
