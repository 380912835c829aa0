import { type BaseModel } from '@lowrank/contracts';
import { type Blobs } from '@lowrank/storage';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Makes a folder with everything of a base model but its weights, which counting does not need; resolves to it. */
export async function fetchTokenizer(
  blobs: Blobs,
  { files }: Pick<BaseModel, 'files'>,
  folder: string,
): Promise<string> {
  await mkdir(folder);
  for (const { path, sha256 } of files.filter((file) => !file.path.endsWith('.safetensors')))
    await blobs.fetchTo(sha256, join(folder, path));
  return folder;
}
