import {
  type AdapterVersion,
  type BaseModel,
  LowrankError,
  type StoredFile,
  type VersionExport,
} from '@lowrank/contracts';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ReadableStream } from 'node:stream/web';
import { type Api } from './client/api';

/** Downloads the files of a version, of one's own or the named team's, into a folder, each whole and of the promised SHA-256, or not at all. */
export async function pullVersion(
  api: Api,
  version: AdapterVersion,
  folder: string,
  team: string | null = null,
): Promise<void> {
  await pullFiles(version.files, folder, ({ path }) =>
    api.versionFile(version.adapter, version.number, path, team),
  );
}

/** The same for the files of an export. */
export async function pullExport(api: Api, of: VersionExport, folder: string): Promise<void> {
  await pullFiles(of.files, folder, ({ path }) => api.exports.file(of, path));
}

/** The same for the files of a base model. */
export async function pullBaseModel(api: Api, baseModel: BaseModel, folder: string): Promise<void> {
  await pullFiles(baseModel.files, folder, ({ path }) => api.baseModelFile(baseModel.name, path));
}

/** Files that are there already and right are left alone. Error: integrity_failed naming the file. */
async function pullFiles(
  files: StoredFile[],
  folder: string,
  open: (file: StoredFile) => Promise<Response>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of files) {
    const target = join(folder, file.path);
    if ((await sha256Of(target)) === file.sha256) continue;
    const partial = `${target}.${process.pid}.partial`;
    try {
      await download(await open(file), file, partial);
      await rename(partial, target);
    } finally {
      await rm(partial, { force: true });
    }
  }
}

async function download(response: Response, file: StoredFile, target: string): Promise<void> {
  const hash = createHash('sha256');
  const hashing = new Transform({
    transform(chunk, _encoding, done) {
      hash.update(chunk);
      done(null, chunk);
    },
  });
  // The DOM's and Node's declarations of the same stream differ.
  const body = Readable.fromWeb(response.body as ReadableStream);
  await pipeline(body, hashing, createWriteStream(target));
  const sha256 = hash.digest('hex');
  if (sha256 !== file.sha256) {
    throw new LowrankError(
      'integrity_failed',
      `${file.path} arrived with SHA-256 ${sha256} instead of ${file.sha256}.`,
    );
  }
}

/** SHA-256 of a file in hexadecimal, or null when it is not there. */
async function sha256Of(path: string): Promise<string | null> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return hash.digest('hex');
}
