import {
  type BaseModel,
  type Dataset,
  type DeviceEstimate,
  type Estimate,
  type MemoryEstimate,
  type Placement,
  type Recipe,
} from '@lowrank/contracts';
import { type DataPlan } from '../batches/data-plan';
import { sequencesPerRow } from '../batches/sequences';
import { isUncounted, type Uncounted } from '../ports/data-planner';
import { predictMemory } from './memory/predict';
import { trainingOperations } from './operations';
import { servabilityOf } from './servability';
import { type FinishedRun, predictTime } from './time';
import { estimateDevices, gigabytes, type KnownWorker, mayRunOn, speedOf, threadsOf } from './workers';

/** Everything that an estimate is made from. */
export interface EstimateInput {
  baseModel: BaseModel;
  dataset: Dataset;
  recipe: Recipe;
  placement: Placement;
  planned: DataPlan | Uncounted;
  /** Those that are there now. */
  workers: readonly KnownWorker[];
  runs: readonly FinishedRun[];
}

/** What of a plan decides how much memory the job takes. */
type Fullest = Pick<DataPlan, 'largest' | 'conversations' | 'conversationTokens'>;

/** Bytes of text that a token has at least, by and large. */
const bytesPerToken = 3;

/**
 * What data can come to whose tokens are not counted: rows as full as the recipe lets them be, unless the text is too short for that. A
 * dataset that takes long to count is large, and packing fills its rows to within some hundredths.
 */
function fullRows({ rows, bytes }: Dataset, recipe: Recipe): Fullest {
  const { sequenceLength, rows: perBatch } = recipe.training;
  const conversations = rows * sequencesPerRow(recipe);
  const filled = Math.min(perBatch, Math.ceil(bytes / sequenceLength));
  return {
    largest: Array.from({ length: Math.max(1, filled) }, () => sequenceLength),
    conversations,
    conversationTokens: Math.ceil(bytes / bytesPerToken),
  };
}

/** The peak of a job's memory; null where the base model's sizes are not known. */
export function estimateMemory(
  {
    baseModel: { files, decoder, vocabSize, contextLength },
    dataset,
  }: Pick<EstimateInput, 'baseModel' | 'dataset'>,
  recipe: Recipe,
  planned: DataPlan | Uncounted,
  threads: number,
): MemoryEstimate | null {
  if (decoder === null) return null;
  const { largest, conversations, conversationTokens } = isUncounted(planned)
    ? fullRows(dataset, recipe)
    : planned;
  const { bytes, parts } = predictMemory({
    model: { decoder, vocabSize, contextLength },
    recipe,
    lengths: largest,
    threads,
    dataset: { conversations, tokens: conversationTokens },
    tokenizerBytes: tokenizerBytesOf(files),
  });
  // One process has them once, however many adapters it trains: its own memory, the mapped base, what its threads compute with.
  const { base, tokenizer, process, products } = parts;
  return memoryEstimate(bytes, base + tokenizer + process + products, parts);
}

export const tokenizerBytesOf = (files: BaseModel['files']): number =>
  files.find(({ path }) => path === 'tokenizer.json')?.bytes ?? 0;

/** In whole bytes. */
export const memoryEstimate = (bytes: number, sharedBytes: number, parts: object): MemoryEstimate => ({
  bytes: Math.ceil(bytes),
  sharedBytes: Math.floor(sharedBytes),
  parts: Object.fromEntries(
    Object.entries(parts).map(([name, part]: [string, number]) => [name, Math.round(part)]),
  ),
});

const rowsOf = (count: number, of: number): string => `${count} of ${of} rows of the dataset`;

/** Of a placement that asks for less memory than the job takes by prediction. */
export function* warningsOfPlacement(
  { memoryBytes }: Placement,
  memory: MemoryEstimate | null,
): Generator<string> {
  if (memory !== null && memoryBytes !== null && memoryBytes < memory.bytes)
    yield `placement.memoryBytes is ${gigabytes(memoryBytes)}; the job takes ${gigabytes(memory.bytes)} at its peak by prediction.`;
}

/** What whoever submits should know, besides the figures. */
function* warningsOf(
  { planned, baseModel, placement, recipe }: EstimateInput,
  memory: MemoryEstimate | null,
  devices: readonly DeviceEstimate[],
): Generator<string> {
  if (isUncounted(planned))
    yield `The tokens are not counted: ${planned.problem}. Steps and time are not known${memory === null ? '' : ', and the memory is that of full rows'}.`;
  else {
    const { rows, heldOutRows, truncatedRows, droppedRows } = planned.data;
    const { sequenceLength } = recipe.training;
    if (truncatedRows > 0)
      yield `${rowsOf(truncatedRows, rows + heldOutRows)} are cut to ${sequenceLength} tokens.`;
    if (droppedRows > 0)
      yield `${rowsOf(droppedRows, rows + heldOutRows)} are left out: too long, or nothing to learn in them.`;
    if (baseModel.decoder === null)
      yield `Base model ${baseModel.name} was imported by a release that did not keep its sizes: memory and time are not known. Import it again under another name.`;
  }
  yield* warningsOfPlacement(placement, memory);
  const wanted = devices.filter((device) => mayRunOn(device, placement));
  if (wanted.length === 0)
    yield `No worker ${placement.deviceClasses === null ? '' : `of class ${placement.deviceClasses.join(' or ')} `}is there now: the job will wait for one.`;
  else if (!wanted.some(({ fits }) => fits))
    yield 'None of the workers that are there now has the memory that the job takes.';
}

/** An estimate without proposals. */
export function makeEstimate(input: EstimateInput): Estimate {
  const { baseModel, recipe, placement, planned, workers, runs } = input;
  const { decoder, vocabSize } = baseModel;
  const plan = isUncounted(planned) ? null : planned;
  const threads = threadsOf(workers.filter((worker) => mayRunOn(worker, placement)));
  const memory = estimateMemory(input, recipe, planned, threads);
  const operations = plan && decoder && trainingOperations({ decoder, vocabSize }, recipe, plan);
  const timeOn = (deviceClass: string) =>
    plan === null || operations === null
      ? null
      : predictTime(
          runs.filter((run) => run.deviceClass === deviceClass),
          speedOf(workers.filter((worker) => worker.deviceClass === deviceClass)),
          { baseModelId: baseModel.id, operations, tokens: plan.data.tokens },
        );
  const needed = placement.memoryBytes ?? memory?.bytes ?? null;
  const devices = estimateDevices(workers, placement, needed, timeOn);
  return {
    data: plan?.data ?? null,
    memory,
    operations,
    devices,
    servability: servabilityOf(recipe, baseModel),
    proposals: [],
    warnings: [...warningsOf(input, memory, devices)],
  };
}
