import { LowrankError, type Manifest, parentsOf, type StoredFile } from '@lowrank/contracts';
import { type TrainedAdapter } from '@lowrank/training';
import { type AttemptOptions } from './attempt';

/** The part of a zod schema that reads a manifest. */
export interface ManifestSchema<T> {
  parse(value: unknown): T;
}

const manifestKey = (jobId: string): string => `manifests/${jobId}.json`;

/** The manifest of a job, if one has been published. Throws LowrankError integrity_failed when it cannot be read. */
export async function readManifest<T>(
  store: AttemptOptions['store'],
  jobId: string,
  schema: ManifestSchema<T>,
): Promise<T | null> {
  const key = manifestKey(jobId);
  if ((await store.head(key)) === null) return null;
  const { body } = await store.get(key);
  const parts: Buffer[] = [];
  for await (const part of body) parts.push(part as Buffer);
  try {
    return schema.parse(JSON.parse(Buffer.concat(parts).toString('utf8')));
  } catch (error) {
    throw new LowrankError('integrity_failed', `${key} is not a manifest`, undefined, { cause: error });
  }
}

/** Stores a version's files by their SHA-256. */
export async function storeFiles(
  { blobs }: Pick<AttemptOptions, 'blobs'>,
  files: TrainedAdapter['files'],
): Promise<StoredFile[]> {
  const stored: StoredFile[] = [];
  for (const { path, bytes } of files) stored.push({ path, ...(await blobs.put(bytes)) });
  return stored;
}

/** Stores the files of a version, or of a state of the adapter that may become one, and resolves to its manifest. */
export async function storeVersion(
  options: Pick<AttemptOptions, 'assignment' | 'blobs'>,
  {
    files,
    ...made
  }: Pick<Manifest, 'recipe' | 'metrics' | 'templateSha256' | 'checkpointStep'> &
    Pick<TrainedAdapter, 'files'> &
    Partial<Pick<Manifest, 'certificate'>>,
): Promise<Manifest> {
  const { jobId, epoch, adapter, baseModel, dataset } = options.assignment;
  const { recipe, metrics, templateSha256, checkpointStep, certificate = null } = made;
  return {
    ...{ format: 1, jobId, epoch, adapter, recipe, templateSha256, metrics, checkpointStep, certificate },
    baseModel: { id: baseModel.id, name: baseModel.name, revision: baseModel.revision },
    dataset: { id: dataset.id, sha256: dataset.sha256 },
    parents: parentsOf(options.assignment),
    files: await storeFiles(options, files),
  };
}

/**
 * Writes the manifest of files that are stored, under a key that only one attempt can win. Returns the manifest that won, which is an
 * earlier one's when that came first.
 */
export async function publish<T extends { jobId: string }>(
  { store }: Pick<AttemptOptions, 'store'>,
  schema: ManifestSchema<T>,
  manifest: T,
): Promise<T> {
  const complete = schema.parse(manifest);
  const body = Buffer.from(JSON.stringify(complete));
  const won = await store.put(manifestKey(complete.jobId), body, { bytes: body.length, ifAbsent: true });
  return won ? complete : ((await readManifest(store, complete.jobId, schema)) as T);
}
