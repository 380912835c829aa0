import { type BaseModelFacts, type DatasetFacts } from '@lowrank/domain';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { tinyDataset, tinyDecoder, writeTinyModel } from '@lowrank/testing';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * A base model and a dataset of 40 chats in an object store, as the API would have put them there; by default in that of a worker whose
 * data lie in `root`.
 */
export async function storeTiny(
  root: string,
  store = createObjectStore({ s3: null, folder: join(root, 'objects') }),
): Promise<{ baseModel: BaseModelFacts; dataset: DatasetFacts }> {
  const blobs = new Blobs(store);
  const model = join(root, 'model');
  await writeTinyModel(model);
  const files = await Promise.all(
    (await readdir(model)).map(async (path) => {
      const { sha256, bytes } = await blobs.putFile(join(model, path));
      return { path, sha256, bytes };
    }),
  );
  const file = join(root, 'chats.jsonl');
  await writeFile(file, tinyDataset(40));
  return {
    baseModel: {
      name: 'tiny',
      source: 'tiny',
      revision: 'a'.repeat(40),
      modelType: 'llama',
      parameters: 40_000,
      contextLength: 256,
      vocabSize: 259,
      decoder: tinyDecoder,
      files,
    },
    dataset: {
      filename: 'chats.jsonl',
      ...(await blobs.putFile(file)),
      format: 'chat',
      rows: 40,
      tokens: null,
      lossTokens: null,
      tokensOf: null,
    },
  };
}
