import { type BaseModel, type Dataset } from '@lowrank/contracts';
import { type JobRecord } from '../ports/repositories';
import { predictMemory } from '../preflight/memory/predict';

/** What a job's trainer takes, bytes. */
export interface JobMemory {
  bytes: number;
  /** Of that, what another job on the same base in the same process does not need again. */
  sharedBytes: number;
}

/**
 * What a job takes of a worker's memory, with full micro-batches: what it was submitted with, or what is predicted of it; null where
 * neither is known. Node, the tokenizer and the base are there once for all jobs of a trainer.
 */
export function memoryOf(
  { job, baseModel, dataset }: { job: JobRecord; baseModel: BaseModel; dataset: Dataset },
  threads: number,
): JobMemory | null {
  const { recipe, placement } = job;
  const { decoder } = baseModel;
  if (decoder === null)
    return placement.memoryBytes === null ? null : { bytes: placement.memoryBytes, sharedBytes: 0 };
  const { rows, sequenceLength } = recipe.training;
  const { bytes, parts } = predictMemory({
    model: { ...baseModel, decoder },
    recipe,
    lengths: Array.from({ length: rows }, () => sequenceLength),
    threads,
    dataset: {
      conversations: dataset.rows * (dataset.format === 'preference' ? 2 : 1),
      // Bytes of text are more than tokens of it.
      tokens: dataset.tokens ?? dataset.bytes,
    },
    tokenizerBytes: baseModel.files.find(({ path }) => path === 'tokenizer.json')?.bytes ?? 0,
  });
  const asked = placement.memoryBytes ?? bytes;
  return { bytes: asked, sharedBytes: Math.min(asked, parts.base + parts.tokenizer + parts.process) };
}

/** What a trainer takes that trains these together. */
export const memoryTogether = (jobs: readonly JobMemory[]): number =>
  jobs.reduce((sum, { bytes, sharedBytes }) => sum + bytes - sharedBytes, 0) +
  Math.max(0, ...jobs.map(({ sharedBytes }) => sharedBytes));
