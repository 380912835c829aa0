import { type CombineWork, type Manifest, manifestSchema } from '@lowrank/contracts';
import { spanned } from '@lowrank/telemetry';
import { runCombine } from '@lowrank/training';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type AttemptOptions, MAX_LINE_BYTES } from './attempt';
import { fetchFiles } from './fetch-files';
import { fetchBase, fetchMeasured } from './fetch-inputs';
import { publish, storeVersion } from './publish';

/** Makes a version of several, and files and manifest to the object store. Throws as runCombine. */
export async function combineAndPublish(
  options: AttemptOptions,
  { parents, settings, thresholds }: CombineWork,
): Promise<Manifest> {
  const { assignment, signal, send, log } = options;
  const { epoch, adapter, baseModel, recipe, cacheDir, jobDir, threads } = assignment;
  const named = parents.map((parent) => ({
    ...parent,
    name: `${parent.adapter} v${parent.number}`,
    folder: join(jobDir, 'parents', parent.id),
  }));
  log('info', `attempt ${epoch}: ${named.map(({ name }) => name).join(', ')} by ${settings.method}`);

  const { source, revision } = baseModel;
  const base = await fetchBase(options);
  const measured = await fetchMeasured(options);
  for (const { folder, files } of named) await fetchFiles(options, folder, files);
  send({ type: 'phase', phase: 'running' });

  const into = join(jobDir, 'combined');
  try {
    const combined = await spanned('combine', () =>
      runCombine({
        ...{ adapter, recipe, cacheDir, threads, signal, settings, thresholds, into, parents: named },
        base: { source, revision, ...base },
        ...measured,
        maxLineBytes: MAX_LINE_BYTES,
      }),
    );
    signal.throwIfAborted();
    send({ type: 'phase', phase: 'publishing' });
    const version = await storeVersion(options, { ...combined, checkpointStep: null });
    return await publish(options, manifestSchema, version);
  } finally {
    await rm(into, { recursive: true, force: true });
  }
}
