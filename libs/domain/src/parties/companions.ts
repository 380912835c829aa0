import { accepts, bytesOn } from '../dispatch/board';
import { leftOn, needsOf } from '../dispatch/placed';
import { type JobRecord, type Repositories } from '../ports/repositories';
import { type WorkerRecord } from '../ports/workers';
import { inputsOf, type JobWithInputs } from './inputs';
import { type JobMemory, memoryOf, memoryTogether } from './party-memory';

export interface Companions {
  jobs: JobWithInputs[];
  /** What their trainer takes with the lead, bytes; null: not known. */
  memoryBytes: number | null;
}

const nobody: Companions = { jobs: [], memoryBytes: null };

/**
 * Most tokens of a micro-batch with which a job is trained together with others that it has nothing to do with. Small micro-batches gain
 * from company; large ones keep the cores busy by themselves, and the first job would only end later (docs/fairness.md). Trials of one
 * sweep are waited for together, so they always train together.
 */
export const smallBatchTokens = 256;

/** Candidates looked at, for each place that there is. */
const looksPerPlace = 8;

const ofOneSweep = (a: JobRecord, b: JobRecord): boolean => a.sweep !== null && a.sweep.id === b.sweep?.id;

const isSmall = ({ recipe: { training } }: JobRecord): boolean =>
  training.rows * training.sequenceLength <= smallBatchTokens;

/** Whether the kernels can make one step of theirs, and it gains something. */
function suits(lead: JobRecord, job: JobRecord): boolean {
  const [a, b] = [lead.recipe, job.recipe];
  return (
    ((isSmall(lead) && isSmall(job)) || ofOneSweep(lead, job)) &&
    a.base.quantization === b.base.quantization &&
    a.base.doubleQuantization === b.base.doubleQuantization &&
    a.training.compute === b.training.compute &&
    a.training.checkpointActivations === b.training.checkpointActivations &&
    (a.objective.type === 'sft') === (b.objective.type === 'sft')
  );
}

/**
 * The queued jobs that are to be trained together with one that is about to start, in the slot that it has: those of its team, base model
 * and priority that suit it, as far as the slot's memory goes, in the order in which they wait, and so many that others of them that are
 * on their way to a slot have as many. The rows of those that it resolves to are locked. A job whose last attempt came to nothing trains alone, so that one that breaks its trainer breaks no other's for long.
 */
export async function findCompanions(
  repositories: Repositories,
  lead: JobWithInputs,
  worker: WorkerRecord,
  jobsPerTrainer: number,
  now: string,
): Promise<Companions> {
  const isAlone = lead.job.work.kind !== 'train' || (!isSmall(lead.job) && lead.job.sweep === null);
  if (jobsPerTrainer <= 1 || lead.job.fruitlessAttempts > 0 || isAlone) return nobody;
  const memories: JobMemory[] = [];
  const room = await roomFor(repositories, lead.job, worker);
  const fits = (job: JobRecord): boolean => {
    if (worker.memoryBytes === 0) return true;
    const memory = memoryOf(job);
    if (memory === null || memoryTogether([...memories, memory]) > room) return false;
    memories.push(memory);
    return true;
  };
  if (!fits(lead.job)) return nobody;
  const alike = await repositories.jobs.lockAlike(lead.job, now, looksPerPlace * (jobsPerTrainer - 1));
  const candidates = alike.filter((job) => suits(lead.job, job) && accepts(worker, job.placement));
  const leads = 1 + (await repositories.jobs.countAssignedAlike(lead.job));
  const most = Math.min(jobsPerTrainer - 1, Math.ceil(candidates.length / leads));
  const jobs: JobWithInputs[] = [];
  for (const job of candidates) {
    if (jobs.length >= most) break;
    const inputs = await inputsOf(repositories, job);
    if (!('gone' in inputs) && fits(job)) jobs.push(inputs);
  }
  return { jobs, memoryBytes: memories.length === 0 ? null : memoryTogether(memories) };
}

/**
 * Memory that a job's trainer may take: an even share of the worker's, or what the dispatcher has counted for the job if that is more, but
 * no more than the other slots leave.
 */
async function roomFor(repositories: Repositories, lead: JobRecord, worker: WorkerRecord): Promise<number> {
  const { bytes: free } = await leftOn(repositories, worker, lead);
  const share = worker.memoryBytes / worker.slots;
  return Math.max(bytesOn(worker, needsOf(lead)), Math.min(free, share));
}
