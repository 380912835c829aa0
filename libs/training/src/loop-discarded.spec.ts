import { recipeSchema } from '@lowrank/contracts';
import { type Adapter, type Base } from '@lowrank/kernels';
import { freshProgress, train, type Progress, type TrainOptions } from './loop';

const batch = { tokens: Int32Array.of(1, 2), targets: Int32Array.of(2, 3), starts: Int32Array.of(0, 2) };

/** A run of `applied.length` steps whose updates are applied or discarded as told; kernels are stood in for. */
async function run(
  applied: readonly boolean[],
  gradNorm = 1,
): Promise<{ progress: Progress; warnings: string[]; metrics: number[] }> {
  const warnings: string[] = [];
  const metrics: number[] = [];
  let step = 0;
  const options: Partial<TrainOptions> = {
    base: {
      trainStep: () => Promise.resolve([{ sum: applied[step] ? 4 : NaN, tokens: 2, correct: 1 }]),
    } as Partial<Base> as Base,
    adapter: {
      zeroGradients: () => undefined,
      optimizerStep: () => Promise.resolve({ gradNorm, applied: applied[step++] as boolean }),
    } as Partial<Adapter> as Adapter,
    recipe: recipeSchema.parse({}),
    plan: { totalSteps: applied.length, stepsPerEpoch: 100, rows: 1, fill: 1, microBatches: () => [batch] },
    evaluation: [],
    progress: freshProgress,
    signal: new AbortController().signal,
    onMetric: (metric) => void metrics.push(metric.step),
    onWarning: (message) => void warnings.push(message),
    onCheckpoint: () => Promise.resolve(),
    onProgress: () => undefined,
  };
  const progress = await train(options as TrainOptions);
  return { progress, warnings, metrics };
}

describe('train', () => {
  it('discards updates that are not finite, counts them and warns', async () => {
    const { progress, warnings, metrics } = await run([true, false, false, true, false, true]);
    expect(progress).toMatchObject({ step: 6, skippedSteps: 3, skippedInRow: 0, trainedTokens: 6 });
    expect(progress.lossSum).toBe(4); // no NaN
    expect(warnings[0]).toMatch(/step 2 is not a finite number: its update was discarded/);
    expect(metrics).toEqual([1, 4, 6]);
  });

  it('counts an update whose gradient has a norm beyond 32 bits as discarded', async () => {
    await expect(run([true, true, true], Infinity)).rejects.toMatchObject({ code: 'loss_not_finite' });
  });

  it('fails after three in a row', async () => {
    await expect(run([true, false, false, false, true])).rejects.toMatchObject({
      code: 'loss_not_finite',
      message: expect.stringContaining('step 4') as string,
    });
  });
});
