import { exportManifestSchema, type ExportManifest, type ExportWork } from '@lowrank/contracts';
import { spanned } from '@lowrank/telemetry';
import { runExport } from '@lowrank/training';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AttemptOptions, MAX_LINE_BYTES } from './attempt';
import { fetchFiles } from './fetch-files';
import { fetchBase, fetchMeasured } from './fetch-inputs';
import { publish } from './publish';

/** Writes a version in another format, and files and manifest to the object store. Throws as runExport. */
export async function exportAndPublish(options: AttemptOptions, work: ExportWork): Promise<ExportManifest> {
  const { assignment, blobs, signal, send, log } = options;
  const { jobId, epoch, baseModel, recipe, cacheDir, jobDir, threads } = assignment;
  const { version, format, thresholds } = work;
  const name = `${version.adapter}-v${version.number}`;
  log('info', `attempt ${epoch}: ${name} as ${format}, ${threads} threads`);

  const { key, dir, fetchWeights } = await fetchBase(options);
  await fetchWeights();
  const measured = await fetchMeasured(options);
  const adapterDir = join(jobDir, 'version');
  await fetchFiles(options, adapterDir, version.files);
  send({ type: 'phase', phase: 'running' });

  const workDir = join(jobDir, 'export');
  let totalSteps = 0;
  try {
    const { folder, paths, certificate } = await spanned('export', () =>
      runExport({
        ...{ format, name, thresholds, adapterDir, recipe, cacheDir, workDir, threads, signal },
        base: { key, dir, source: baseModel.source },
        ...measured,
        maxLineBytes: MAX_LINE_BYTES,
        onMessage: log,
        onProgress: (step, total) => {
          if (totalSteps === 0) send({ type: 'plan', totalSteps: total, resumedFromStep: 0 });
          totalSteps = total;
          send({ type: 'progress', step });
        },
      }),
    );
    signal.throwIfAborted();
    send({ type: 'phase', phase: 'publishing' });
    log('info', `publishing ${paths.join(', ')}`);
    const files = [];
    for (const path of paths) files.push({ path, ...(await blobs.putFile(join(folder, path))) });
    return await publish(options, exportManifestSchema, {
      ...{ format: 1, jobId, epoch, versionId: version.id, exportFormat: format, certificate, files },
    });
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}
