// A trainer that trains nothing: a process of its own that says to its worker all that a real one says, and leaves.
import { manifestOf, metricOf } from './facts.mjs';

const tell = (message) => new Promise((resolve) => process.send(message, resolve));
process.once('message', async ({ assignment }) => {
  const { jobId, epoch, adapter, baseModel, dataset, recipe } = assignment;
  const { id, name, revision } = baseModel;
  const manifest = manifestOf({
    id: jobId,
    epoch,
    adapter,
    baseModel: { id, name, revision },
    dataset,
    recipe,
  });
  await tell({ type: 'phase', phase: 'preparing' });
  await tell({ type: 'plan', totalSteps: 1, resumedFromStep: 0 });
  await tell({ type: 'phase', phase: 'running' });
  await tell({ type: 'metric', metric: metricOf(1), trainedTokens: 100 });
  await tell({ type: 'phase', phase: 'publishing' });
  await tell({ type: 'published', manifest });
  process.disconnect();
});
