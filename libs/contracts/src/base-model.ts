import { z } from 'zod';
import { decoderSchema } from './decoder';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';

export const storedFileSchema = z.object({
  /** Name inside the folder, e.g. `model.safetensors`; never with a directory part. */
  path: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/),
  sha256: sha256Schema,
  bytes: z.int().nonnegative(),
});
export type StoredFile = z.infer<typeof storedFileSchema>;

export const baseModelStatusSchema = z.enum(['importing', 'ready', 'failed']);

export const baseModelSchema = z.object({
  id: idSchema('baseModel'),
  name: nameSchema,
  /** Where it came from: a folder's name or `owner/name` on a hub. */
  source: z.string(),
  /** 40 hexadecimal digits: the hub's commit, or the start of the SHA-256 over the file list of a folder. */
  revision: z.string().regex(/^[0-9a-f]{40}$/),
  modelType: z.string(),
  parameters: z.int().nonnegative(),
  contextLength: z.int().positive(),
  vocabSize: z.int().positive(),
  /** null: imported by a release that did not keep it, so that the trainer is the first to check a recipe's layers. */
  decoder: decoderSchema.nullable(),
  files: z.array(storedFileSchema),
  status: baseModelStatusSchema,
  createdAt: timeSchema,
});
export type BaseModel = z.infer<typeof baseModelSchema>;

export const importBaseModelSchema = z.strictObject({
  name: nameSchema,
  source: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('folder'), path: z.string().min(1).max(4096) }),
    z.strictObject({
      type: z.literal('hub'),
      id: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,95}\/[A-Za-z0-9][A-Za-z0-9._-]{0,95}$/, 'must be owner/name'),
      revision: z.string().max(100).default('main'),
    }),
  ]),
});
export type ImportBaseModel = z.infer<typeof importBaseModelSchema>;

/** Architectures that the kernel library trains. */
export const supportedModelTypes = [
  'llama',
  'mistral',
  'qwen2',
  'qwen3',
  'gemma2',
  'gemma3',
  'gemma3_text',
  'phi3',
] as const;
