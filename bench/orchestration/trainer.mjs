// A trainer that trains nothing: a process of its own that says to its worker all that a real one says, and leaves.
import { manifestOf, metricOf } from './facts.mjs';

process.once('message', async ({ assignments }) => {
  const [{ jobId, epoch, adapter, baseModel, dataset, recipe }] = assignments;
  const tell = (message) => new Promise((resolve) => process.send({ type: 'job', jobId, message }, resolve));
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
