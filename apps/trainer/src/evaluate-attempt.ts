import { type EvaluateWork, evaluationManifestSchema, type EvaluationManifest } from '@lowrank/contracts';
import { spanned } from '@lowrank/telemetry';
import { isWeights, modelKey, runEvaluation } from '@lowrank/training';
import { join } from 'node:path';
import { type AttemptOptions, MAX_LINE_BYTES } from './attempt';
import { fetchFiles } from './fetch-files';
import { publish } from './publish';

/** Measures a version, and its results to the object store. Throws as runEvaluation. */
export async function evaluateAndPublish(
  options: AttemptOptions,
  { version, settings }: EvaluateWork,
): Promise<EvaluationManifest> {
  const { assignment, signal, send, log } = options;
  const { jobId, epoch, baseModel, dataset, recipe, cacheDir, jobDir, threads } = assignment;
  log('info', `attempt ${epoch}: ${version.adapter} v${version.number} measured, ${threads} threads`);

  const key = modelKey(baseModel.files);
  const modelDir = join(cacheDir, 'models', key);
  const fetchModel = (wanted: boolean) =>
    fetchFiles(
      options,
      modelDir,
      baseModel.files.filter((file) => isWeights(file) === wanted),
    );
  await fetchModel(false);
  const datasetsDir = join(cacheDir, 'datasets');
  await fetchFiles(options, datasetsDir, [{ path: dataset.sha256, sha256: dataset.sha256 }]);
  const adapterDir = join(jobDir, 'version');
  await fetchFiles(options, adapterDir, version.files);
  send({ type: 'phase', phase: 'running' });

  let isPlanned = false;
  const { rows, results } = await spanned('evaluate', () =>
    runEvaluation({
      base: { key, dir: modelDir, fetchWeights: () => fetchModel(true) },
      ...{ adapterDir, storage: recipe.base, compute: recipe.training.compute, settings },
      dataset: { file: join(datasetsDir, dataset.sha256), sha256: dataset.sha256, format: dataset.format },
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
