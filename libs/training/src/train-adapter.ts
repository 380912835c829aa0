import { type JobSample, type VersionMetrics } from '@lowrank/contracts';
import { type Adapter, type Base } from '@lowrank/kernels';
import { spanned } from '@lowrank/telemetry';
import { loadCheckpoint, saveCheckpoint } from './checkpoint';
import { Diverged, freshProgress, samplesDue, train, type Progress } from './loop';
import { roundPairs } from './peft';
import { type Data } from './prepare-data';
import { type JoinedRanks } from './ranks';
import { isStop, type RunOptions, type TrainedAdapter } from './run-options';
import { checkpointMetrics } from './version-metrics';

/** What is to be seen of an adapter on the way, and who trains it too. */
export interface AdapterViews {
  ranks?: JoinedRanks;
  exported(metrics: VersionMetrics): TrainedAdapter;
  /** Of what the bare base says, where that is what training starts from. */
  answers(isBare: boolean): Promise<JobSample[]>;
}

/** A diverged run goes back to its last checkpoint this often; then it fails. */
const MAX_ROLLBACKS = 2;

/**
 * Trains from the newest checkpoint, or from the start, to the end. A run that diverges goes back to its last checkpoint, with half of the
 * learning rate; that is written down at once, so that a run that is killed does the same. The checkpoint of a pause is one too: paused
 * shortly before it diverges, a run goes back less far than it would have.
 */
export async function trainAdapter(
  base: Base,
  adapter: Adapter,
  data: Data,
  run: string,
  { exported, answers, ranks }: AdapterViews,
  options: RunOptions,
): Promise<Progress> {
  const { recipe, checkpointsDir, signal, onMetric, onMessage, writtenStep = () => Infinity } = options;
  const load = () =>
    loadCheckpoint(checkpointsDir, run, (name) =>
      onMessage('warn', `checkpoint ${name} is damaged or of another run and was passed over`),
    );
  let checkpoint = await load();
  if (await options.fetchCheckpoint?.(run, checkpoint?.progress.step ?? 0)) checkpoint = await load();
  let state = checkpoint?.state; // of the last checkpoint, or the start; the same memory for all of them
  if (state === undefined) state = adapter.exportState();
  else adapter.importState(state);
  await ranks?.importState(state);
  let current = checkpoint?.progress ?? freshProgress;
  let saved = current;
  let unwritten = checkpoint?.metrics ?? [];
  const save = (progress: Progress) =>
    spanned('checkpoint', async (span) => {
      span.setAttribute('lowrank.step', progress.step);
      const written = (state = adapter.exportState(state));
      unwritten = unwritten.filter(({ step }) => step > writtenStep() && step <= progress.step);
      const hash = await saveCheckpoint(checkpointsDir, run, {
        progress,
        state: written,
        metrics: unwritten,
      });
      saved = progress;
      options.onCheckpoint(progress.step, hash);
    });
  let trainLoss: number | null = null;
  let keptAt = 0;
  const keep = async (progress: Progress) => {
    const isNew = progress.step > keptAt && progress.step < data.plan.totalSteps;
    // While updates are being discarded the adapter may be beyond help.
    if (!options.onKept || recipe.checkpoints.keep === 0 || !isNew || progress.skippedInRow > 0) return;
    keptAt = progress.step;
    options.onKept(exported(checkpointMetrics(progress, trainLoss)));
  };
  const sample = async ({ step }: Progress) => {
    if (!options.onSamples || !samplesDue(step, data.plan.totalSteps, recipe)) return;
    const samples = await answers(step === 0 && !options.initFrom);
    if (samples.length > 0) options.onSamples(step, samples);
  };
  const goBack = async ({ message }: Diverged): Promise<void> => {
    const rollbacks = saved.rollbacks + 1;
    onMessage(
      'warn',
      `${message}: back to step ${saved.step}, with half of the learning rate (${rollbacks} of ${MAX_ROLLBACKS} times)`,
    );
    adapter.importState(state as Uint8Array);
    await ranks?.importState(state as Uint8Array);
    current = { ...saved, rollbacks, skippedInRow: 0, seconds: current.seconds };
    keptAt = current.step;
    await save(current);
  };
  for (;;) {
    options.onPlan(data.plan.totalSteps, current.step, [...unwritten]);
    try {
      return await train({
        base,
        adapter,
        ranks,
        isContinued: Boolean(options.initFrom),
        recipe,
        plan: data.plan,
        evaluation: data.evaluation,
        progress: current,
        signal,
        onTrained: () => {
          if (recipe.lora.dtype === 'bf16') roundPairs(adapter);
        },
        onMetric: (metric, trainedTokens) => {
          unwritten.push(metric);
          if (metric.kind === 'train') trainLoss = metric.loss;
          onMetric(metric, trainedTokens);
        },
        onWarning: (message) => onMessage('warn', message),
        onCheckpoint: async (progress) => {
          await save(progress);
          await keep(progress);
        },
        onEvaluated: async (progress) => {
          await sample(progress);
          await keep(progress);
        },
        onProgress: (progress) => {
          current = progress;
        },
      });
    } catch (error) {
      // After an error that is no stop the adapter may be a step ahead of `current`.
      const isDrain = isStop(error, signal) && signal.reason === 'drain';
      if (isDrain && current.step > saved.step) await save(current);
      if (!(error instanceof Diverged) || saved.rollbacks === MAX_ROLLBACKS) throw error;
      await goBack(error);
    }
  }
}
