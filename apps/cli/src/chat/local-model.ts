import { type AdapterVersion, type BaseModel, type ChatMessage, recipeSchema } from '@lowrank/contracts';
import { type ChatTokenizer, loadChatTokenizer } from '@lowrank/datasets';
import { type Adapter, type Base, openKernels } from '@lowrank/kernels';
import {
  chooseStorage,
  generate,
  type Generated,
  type GenerateOptions,
  isWeights,
  loadAdapter,
  modelKey,
  openQuantizedBase,
} from '@lowrank/training';
import { join } from 'node:path';
import { type Api } from '../client/api';
import { pullBaseModel, pullVersion } from '../pull';
import { note } from '../terminal';

/** A base model, and perhaps an adapter of it, loaded in this process. */
export interface LocalModel {
  base: Base;
  adapter: Adapter | null;
  tokenizer: ChatTokenizer;
  /** Folder with the model's tokenizer files. */
  modelDir: string;
  answer(messages: ChatMessage[], options: GenerateOptions): Promise<Generated>;
  close(): void;
}

export interface LocalModelOptions {
  baseModel: BaseModel;
  version: AdapterVersion | null;
  /** Shared with the trainers of this machine: everything in it is named by its content. */
  cacheDir: string;
  threads: number;
}

/**
 * Fetches what is missing (each file checked against its SHA-256), quantizes the base as the version's recipe says if nobody on this
 * machine has, and opens both.
 * Errors: as of Api; KernelError; validation_failed when the adapter does not fit the base.
 */
export async function openLocalModel(
  api: Api,
  { baseModel, version, cacheDir, threads }: LocalModelOptions,
): Promise<LocalModel> {
  const key = modelKey(baseModel.files);
  const modelDir = join(cacheDir, 'models', key);
  const pull = (files: BaseModel['files']) => pullBaseModel(api, { ...baseModel, files }, modelDir);
  await pull(baseModel.files.filter((file) => !isWeights(file)));
  const fetchWeights = async () => {
    note(`Fetching and preparing ${baseModel.name}, once …`);
    await pull(baseModel.files.filter(isWeights));
    return modelDir;
  };

  const kernels = openKernels({ threads });
  try {
    const tokenizer = await loadChatTokenizer(modelDir);
    // The adapter was trained on the base as its recipe keeps it; a bare base is kept as a job would by default.
    const { base: asked } = version?.recipe ?? recipeSchema.parse({});
    const storage = await chooseStorage(modelDir, asked);
    const base = await openQuantizedBase(kernels, fetchWeights, { key, storage, cacheDir });
    let adapter: Adapter | null = null;
    if (version !== null) {
      const folder = join(cacheDir, 'adapters', version.id);
      await pullVersion(api, version, folder);
      adapter = await loadAdapter(base, folder);
    }
    return {
      base,
      adapter,
      tokenizer,
      modelDir,
      answer: (messages, options) => generate(base, tokenizer, messages, options),
      close: () => {
        adapter?.close();
        base.close();
        kernels.close();
      },
    };
  } catch (error) {
    kernels.close();
    throw error;
  }
}
