import { type EvaluateWork, evaluationManifestSchema, type EvaluationManifest } from '@lowrank/contracts';
import { spanned } from '@lowrank/telemetry';
import { runEvaluation } from '@lowrank/training';
import { join } from 'node:path';
import { type AttemptOptions, MAX_LINE_BYTES } from './attempt';
import { fetchFiles } from './fetch-files';
import { fetchBase, fetchDataset } from './fetch-inputs';
import { publish } from './publish';

/** Measures a version, and its results to the object store. Throws as runEvaluation. */
export async function evaluateAndPublish(
  options: AttemptOptions,
  { version, settings }: EvaluateWork,
): Promise<EvaluationManifest> {
  const { assignment, signal, send, log } = options;
  const { jobId, epoch, dataset, recipe, cacheDir, jobDir, threads } = assignment;
  log('info', `attempt ${epoch}: ${version.adapter} v${version.number} measured, ${threads} threads`);

  const base = await fetchBase(options);
  const fetched = await fetchDataset(options, dataset);
  const adapterDir = join(jobDir, 'version');
  await fetchFiles(options, adapterDir, version.files);
  send({ type: 'phase', phase: 'running' });

  let isPlanned = false;
  const { rows, results } = await spanned('evaluate', () =>
    runEvaluation({
      base,
      ...{ adapterDir, storage: recipe.base, compute: recipe.training.compute, settings },
      dataset: fetched,
      ...{ maxLineBytes: MAX_LINE_BYTES, cacheDir, threads, signal },
      onProgress: (step, total) => {
        if (!isPlanned) send({ type: 'plan', totalSteps: total, resumedFromStep: 0 });
        isPlanned = true;
        send({ type: 'progress', step });
      },
    }),
  );
  signal.throwIfAborted();
  for (const { measure, value } of results) log('info', `${measure.metric}: ${value} on ${rows} rows`);
  send({ type: 'phase', phase: 'publishing' });
  return publish(options, evaluationManifestSchema, {
    ...{ format: 1, jobId, epoch, versionId: version.id, rows, results },
  });
}
