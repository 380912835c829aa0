import { LowrankError, manifestSchema, type Manifest } from '@lowrank/contracts';
import { type TrainedAdapter } from '@lowrank/training';
import { type AttemptOptions } from './attempt';

const manifestKey = (jobId: string): string => `manifests/${jobId}.json`;

/** The manifest of a job, if one has been published. Throws LowrankError integrity_failed when it cannot be read. */
export async function readManifest(store: AttemptOptions['store'], jobId: string): Promise<Manifest | null> {
  const key = manifestKey(jobId);
  if ((await store.head(key)) === null) return null;
  const { body } = await store.get(key);
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part as Buffer);
  try {
    return manifestSchema.parse(JSON.parse(Buffer.concat(parts).toString('utf8')));
  } catch (error) {
    throw new LowrankError('integrity_failed', `${key} is not a manifest`, undefined, { cause: error });
  }
}

/**
 * Files first, by their SHA-256; then the manifest, under a key that only one attempt can win. Returns the manifest that won, which
 * is an earlier one's when that came first.
 */
export async function publish(
  { store, blobs }: Pick<AttemptOptions, 'store' | 'blobs'>,
  { files }: TrainedAdapter,
  manifest: Omit<Manifest, 'files'>,
): Promise<Manifest> {
  const stored = [];
  for (const { path, bytes } of files) stored.push({ path, ...(await blobs.put(bytes)) });
  const complete = manifestSchema.parse({ ...manifest, files: stored });
  const body = Buffer.from(JSON.stringify(complete));
  const won = await store.put(manifestKey(manifest.jobId), body, { bytes: body.length, ifAbsent: true });
  return won ? complete : ((await readManifest(store, manifest.jobId)) as Manifest);
}
