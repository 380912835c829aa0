import { z } from 'zod';
import { datasetFormatSchema, datasetNameSchema } from './dataset';
import { idSchema, sha256Schema, timeSchema } from './ids';

/** Least size of a part that is not the last one, and most parts of a file: S3 takes parts of 5 MiB to 5 GiB. */
export const uploadLimits = { partBytes: 8 * 2 ** 20, parts: 1000 };

/** What is said of a file beside its bytes. */
const fieldsShape = {
  /** What it becomes the next version of; default: the file's name, as datasetNameOf has it. */
  name: datasetNameSchema.optional(),
  /** Default: that of the first row. */
  format: datasetFormatSchema.optional(),
  /** Name or id of the base model whose tokenizer counts; default: the oldest. */
  baseModel: z.string().min(1).max(96).optional(),
};
export const uploadFieldsSchema = z.strictObject(fieldsShape);
export type UploadFields = z.output<typeof uploadFieldsSchema>;

export const createUploadSchema = z.strictObject({
  filename: z
    .string()
    .min(1)
    .max(200)
    .refine((text) => !/[\p{Cc}\p{Surrogate}/\\]/u.test(text), 'must be a name without folders'),
  bytes: z.int().positive(),
  /** Of the file as it is. An upload of the same content that was left half-way goes on then; and what arrives is compared. */
  sha256: sha256Schema.optional(),
  ...fieldsShape,
});
export type CreateUpload = z.output<typeof createUploadSchema>;

/** A file that comes in parts. */
export const uploadSchema = z.object({
  id: idSchema('upload'),
  filename: z.string(),
  bytes: z.int().positive(),
  sha256: sha256Schema.nullable(),
  /** Every part but the last has this size; part n (from 1) begins at byte (n − 1) · partBytes. */
  partBytes: z.int().positive(),
  /** How many there are in all. */
  partCount: z.int().positive(),
  createdAt: timeSchema,
  /** It is removed then, unless it has become a dataset. */
  expiresAt: timeSchema,
});
export type Upload = z.infer<typeof uploadSchema>;

export const uploadStateSchema = uploadSchema.extend({
  /** Numbers of the parts that are there whole. */
  arrived: z.array(z.int().positive()),
});
export type UploadState = z.infer<typeof uploadStateSchema>;

export const requestPartsSchema = z.strictObject({
  numbers: z.array(z.int().min(1).max(uploadLimits.parts)).min(1).max(100),
});

export const partTargetSchema = z.object({
  number: z.int().positive(),
  bytes: z.int().positive(),
  /**
   * Where the part is PUT to, its bytes the whole body. An address of another server is signed: it needs no key, and must get none. A path
   * is of this API, and needs the key, and the content type application/octet-stream.
   */
  url: z.string(),
  /** Until when. */
  expiresAt: timeSchema,
});
export type PartTarget = z.infer<typeof partTargetSchema>;

export const importUrlSchema = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .max(2000)
    .refine((text) => {
      const parsed = URL.parse(text);
      return parsed !== null && parsed.username === '' && parsed.password === '';
    }, 'must not hold credentials'),
  /** Its name and ending, by which CSV is told; default: what the server says, or the URL. */
  filename: createUploadSchema.shape.filename.optional(),
  ...fieldsShape,
});
export type ImportUrl = z.output<typeof importUrlSchema>;
