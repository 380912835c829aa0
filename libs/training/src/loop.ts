import { evaluationStep, LowrankError, type JobMetric, type Recipe } from '@lowrank/contracts';
import { dropoutSeed } from '@lowrank/domain';
import { type Adapter, type Base } from '@lowrank/kernels';
import { addMeasured, objectiveOf, type Measured } from './objective';
import { computeStep, type MicroBatchLoss, shareOf, type StepWork } from './optimizer-step';
import { type Plan } from './plan';
import { type JoinedRanks } from './ranks';
import { learningRate } from './schedule';
import { type Batch } from './sequences';

export interface Evaluation {
  /** Mean of the objective. */
  loss: number;
  /** Share of tokens that the arg-max predicts, or of pairs whose chosen answer has the higher reward. */
  accuracy: number;
}

/** Everything that goes on across attempts, besides the adapter's own state. Plain JSON. */
export interface Progress {
  /** Optimizer steps done. */
  step: number;
  trainedTokens: number;
  /** Σ of the objective and tokens with a loss, or pairs, of the last tenth of the steps, for the version's trainLoss. */
  lossSum: number;
  lossTokens: number;
  /** Step of the last evaluation; null before the first. */
  evaluatedAt: number | null;
  evalBefore: Evaluation | null;
  evalAfter: Evaluation | null;
  /** Steps whose update was discarded, in all and in a row up to now. */
  skippedSteps: number;
  skippedInRow: number;
  /** Times that the run diverged and went back to a checkpoint. Each halves the learning rate from there on. */
  rollbacks: number;
  /** Seconds of training and evaluating, over all attempts that left a checkpoint. */
  seconds: number;
}

export const freshProgress: Readonly<Progress> = {
  step: 0,
  trainedTokens: 0,
  lossSum: 0,
  lossTokens: 0,
  evaluatedAt: null,
  evalBefore: null,
  evalAfter: null,
  skippedSteps: 0,
  skippedInRow: 0,
  rollbacks: 0,
  seconds: 0,
};

export interface TrainOptions {
  base: Base;
  adapter: Adapter;
  /** It had weights of its own before the first step, which are what training starts from; else the bare base is. */
  isContinued?: boolean;
  /** Others that train the same adapter; left out: it is trained here alone. */
  ranks?: JoinedRanks;
  recipe: Recipe;
  plan: Plan;
  /** Held-out data; empty: nothing is measured where there would be evaluations. */
  evaluation: readonly Batch[];
  /** Where to go on from. */
  progress: Progress;
  /** Stops within a micro-batch; `train` then rejects and the adapter is as after the last whole step. */
  signal: AbortSignal;
  /** Called after the last step, before it is evaluated and written down: may change the weights, again in the same way to no effect. */
  onTrained?(): void;
  onMetric(metric: JobMetric, trainedTokens: number): void;
  onWarning(message: string): void;
  /** Called after every checkpoints.everySteps steps, unless updates are being discarded, and after the last one; awaited. */
  onCheckpoint(progress: Progress): Promise<void>;
  /** Called after every evaluation, awaited; stopped within, the evaluation is made again. */
  onEvaluated?(progress: Progress): Promise<void>;
  /** After every optimizer step and evaluation: what a checkpoint written now would hold. */
  onProgress(progress: Progress): void;
}

/** Discarded updates in a row by which a run has diverged. */
const MAX_SKIPPED = 3;

/** The run has come to where its numbers are no longer finite; an earlier checkpoint may be better. */
export class Diverged extends LowrankError {
  constructor(message: string) {
    super('loss_not_finite', message);
  }
}

/** The schedule's rate, halved for every rollback. */
const rateOf = ({ step, rollbacks }: Progress, { plan, recipe }: TrainOptions): number =>
  learningRate(step, plan.totalSteps, recipe.optimizer) / 2 ** rollbacks;

const marginOf = ({ margin, weight }: Measured): number | null => (margin === null ? null : margin / weight);

/** Mean loss, accuracy and reward margin over batches, without dropout or noise; adapter null: the bare base. */
export async function evaluate(
  base: Base,
  adapter: Adapter | null,
  batches: readonly Batch[],
  signal?: AbortSignal,
  objective = objectiveOf({ objective: { type: 'sft' } }),
): Promise<Evaluation & { rewardMargin: number | null }> {
  const parts: Measured[] = [];
  for (const batch of batches) {
    const rows = { adapter, begin: 0, end: batch.tokens.length };
    parts.push(await objective.evaluate(base, batch, rows, { signal }));
  }
  const total = addMeasured(parts);
  return {
    loss: total.sum / total.weight,
    accuracy: total.correct / total.weight,
    rewardMargin: marginOf(total),
  };
}

/** A step with its data: each token (pair) weighs the same, however they are spread over the micro-batches. */
function workOf({ step }: Progress, learningRateNow: number, { recipe, plan }: TrainOptions): StepWork {
  const { training, optimizer } = recipe;
  const batches = plan.microBatches(step);
  return {
    count: batches.length,
    microBatches: batches.map((batch, number) => ({
      number,
      batch,
      dropoutSeed: dropoutSeed(training.seed, step, number),
    })),
    lossScale: 1 / batches.reduce((sum, batch) => sum + objectiveOf(recipe).weight(batch), 0),
    settings: {
      learningRate: learningRateNow,
      beta1: optimizer.beta1,
      beta2: optimizer.beta2,
      epsilon: optimizer.epsilon,
      weightDecay: optimizer.weightDecay,
      maxGradNorm: optimizer.maxGradNorm,
      bRateRatio: optimizer.loraPlusRatio,
    },
  };
}

/** The step by this process and the other ranks. Once this one has updated its weights the others have their losses, or have failed. */
async function stepOfRanks(
  ranks: JoinedRanks,
  work: StepWork,
  { base, adapter, recipe, signal }: TrainOptions,
): Promise<{ losses: MicroBatchLoss[]; gradNorm: number; applied: boolean }> {
  const { group, failure } = ranks;
  const losses: MicroBatchLoss[] = [];
  const others = ranks.step(work);
  others.catch(() => undefined); // heard of below, or by `failure`
  try {
    const updated = await computeStep(
      { base, adapter, recipe, group },
      shareOf(work, group.rank, group.ranks),
      (own) => losses.push(...own),
      AbortSignal.any([signal, failure]),
    );
    losses.push(...(await others));
    return { losses, ...updated };
  } catch (error) {
    if (failure.aborted) throw failure.reason;
    ranks.stop();
    throw error;
  }
}

/**
 * One optimizer step. Returns the summed loss before the update and the gradient's norm before clipping; `applied` is false when one of them was
 * not finite and nothing was updated.
 */
async function trainOneStep(
  options: TrainOptions,
  progress: Progress,
): Promise<{ loss: Measured; gradNorm: number; tokens: number; applied: boolean }> {
  const { base, adapter, recipe, ranks, signal } = options;
  const work = workOf(progress, rateOf(progress, options), options);
  const alone = async () => {
    const losses: MicroBatchLoss[] = [];
    const place = { base, adapter, recipe, group: null };
    return { losses, ...(await computeStep(place, work, (own) => losses.push(...own), signal)) };
  };
  const { losses, gradNorm, applied } = await (ranks ? stepOfRanks(ranks, work, options) : alone());
  losses.sort((a, b) => a.number - b.number);
  return {
    loss: addMeasured(losses.map(({ loss }) => loss)),
    gradNorm,
    tokens: work.microBatches.reduce((sum, { batch }) => sum + batch.tokens.length, 0),
    // Clipping to a norm beyond 32 bits leaves nothing of the gradient.
    applied: applied && Number.isFinite(gradNorm),
  };
}

/** Whether the evaluation that belongs after `step` steps is still to be made. */
function evaluationDue({ step, evaluatedAt }: Progress, { recipe, plan }: TrainOptions): boolean {
  const { everySteps, at } = recipe.evaluation;
  const { totalSteps } = plan;
  if (evaluatedAt === step) return false;
  if (step === 0 || step === totalSteps || (everySteps !== null && step % everySteps === 0)) return true;
  return at.some((point) => evaluationStep(point, totalSteps) === step);
}

/**
 * Whether samples are kept at the evaluation after `step` steps: before and after training, and in between at the first evaluation in each of
 * `samples.times` equal stretches of it, but the first of them. It depends on nothing else, so that a run that was interrupted keeps the same.
 */
export function samplesDue(step: number, totalSteps: number, { evaluation, samples }: Recipe): boolean {
  if (step === 0 || step === totalSteps) return true;
  const { everySteps, at } = evaluation;
  const regular = everySteps === null ? 0 : Math.floor((step - 1) / everySteps) * everySteps;
  const points = at.map((point) => evaluationStep(point, totalSteps)).filter((point) => point < step);
  const stretchOf = (point: number) => Math.floor((point * (samples.times + 1)) / totalSteps);
  return stretchOf(Math.max(regular, ...points)) !== stretchOf(step);
}

async function evaluateNow(progress: Progress, options: TrainOptions): Promise<Progress> {
  const { base, adapter, evaluation, plan, signal } = options;
  const started = performance.now();
  const { rewardMargin, ...result } = await evaluate(
    base,
    progress.step === 0 && !options.isContinued ? null : adapter,
    evaluation,
    signal,
    objectiveOf(options.recipe),
  );
  if (!Number.isFinite(result.loss))
    throw new Diverged(`the held-out loss after step ${progress.step} is not a finite number`);
  const seconds = progress.seconds + (performance.now() - started) / 1000;
  options.onMetric(
    {
      step: progress.step,
      at: new Date().toISOString(),
      kind: 'eval',
      loss: result.loss,
      learningRate: null,
      gradNorm: null,
      tokensPerSecond: null,
      epochs: progress.step / plan.stepsPerEpoch,
      accuracy: result.accuracy,
      rewardMargin,
    },
    progress.trainedTokens,
  );
  const evalBefore = progress.step === 0 ? result : progress.evalBefore;
  return { ...progress, evaluatedAt: progress.step, evalBefore, evalAfter: result, seconds };
}

/** A step that was discarded counts, and is in no metric: one may be a bad batch, MAX_SKIPPED in a row are a bad run. */
function skipStep(progress: Progress, { onWarning }: TrainOptions): Progress {
  const skippedInRow = progress.skippedInRow + 1;
  const what = `loss or gradient of step ${progress.step + 1} is not a finite number`;
  if (skippedInRow >= MAX_SKIPPED)
    throw new Diverged(`${what}, like those of the ${MAX_SKIPPED - 1} steps before`);
  onWarning(`${what}: its update was discarded`);
  return { ...progress, skippedSteps: progress.skippedSteps + 1, skippedInRow };
}

async function stepNow(progress: Progress, options: TrainOptions): Promise<Progress> {
  const { plan, recipe } = options;
  const started = performance.now();
  const { loss, gradNorm, tokens, applied } = await trainOneStep(options, progress);
  const elapsed = (performance.now() - started) / 1000;
  const step = progress.step + 1;
  const seconds = progress.seconds + elapsed;
  if (!applied) return { ...skipStep(progress, options), step, seconds };
  const trainedTokens = progress.trainedTokens + tokens;
  options.onMetric(
    {
      step,
      at: new Date().toISOString(),
      kind: 'train',
      loss: loss.sum / loss.weight,
      learningRate: rateOf(progress, options),
      gradNorm,
      tokensPerSecond: tokens / elapsed,
      epochs: step / plan.stepsPerEpoch,
      accuracy: objectiveOf(recipe).trainAccuracy ? loss.correct / loss.weight : null,
      rewardMargin: marginOf(loss),
    },
    trainedTokens,
  );
  const counts = step > plan.totalSteps - Math.ceil(plan.totalSteps / 10);
  return {
    ...progress,
    step,
    trainedTokens,
    lossSum: progress.lossSum + (counts ? loss.sum : 0),
    lossTokens: progress.lossTokens + (counts ? loss.weight : 0),
    skippedInRow: 0,
    seconds,
  };
}

/**
 * Trains from `progress` to the plan's last step. Step numbers decide data, dropout and learning rate, so that a run that goes on
 * from a checkpoint computes the very same bytes as one that was never stopped.
 * Throws Diverged; KernelError, `cancelled` once the signal is aborted.
 */
export async function train(options: TrainOptions): Promise<Progress> {
  const { plan, recipe, adapter } = options;
  let progress = options.progress;
  let saved = progress.step;
  adapter.zeroGradients();
  for (;;) {
    options.signal.throwIfAborted();
    const { step } = progress;
    const last = step === plan.totalSteps;
    if (last) options.onTrained?.();
    if (evaluationDue(progress, options)) {
      progress =
        options.evaluation.length > 0
          ? await evaluateNow(progress, options)
          : { ...progress, evaluatedAt: progress.step };
      await options.onEvaluated?.(progress);
      options.onProgress(progress);
    }
    // While updates are being discarded the adapter may be beyond help: the checkpoint before is the better one to go back to.
    const isDue = step % recipe.checkpoints.everySteps === 0 && progress.skippedInRow === 0;
    if (step > saved && (last || isDue)) {
      await options.onCheckpoint(progress);
      saved = step;
    }
    if (last) return progress;
    progress = await stepNow(progress, options);
    options.onProgress(progress);
  }
}
