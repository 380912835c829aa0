/** What a trainer would publish for a job: a manifest that is valid, of one file that nobody wrote. */
export const manifestOf = ({ id, epoch, adapter, baseModel, dataset, recipe }) => ({
  ...{ format: 1, jobId: id, epoch, adapter, baseModel, recipe },
  dataset: { id: dataset.id, sha256: dataset.sha256 },
  templateSha256: 'c'.repeat(64),
  metrics: {
    ...{ steps: 1, skippedSteps: 0, trainedTokens: 100, trainLoss: 1, seconds: 1, peakMemoryBytes: 1 },
    ...{ evalLossBefore: null, evalLossAfter: null, evalAccuracyBefore: null, evalAccuracyAfter: null },
  },
  parents: [],
  files: [{ path: 'adapter_model.safetensors', sha256: 'd'.repeat(64), bytes: 1 }],
});
/** What a step of training would report. */
export const metricOf = (step) => ({
  ...{ step, at: new Date().toISOString(), kind: 'train', loss: 1, learningRate: 1e-4, gradNorm: 1 },
  ...{ tokensPerSecond: 1, epochs: 1, accuracy: null, rewardMargin: null },
});
