import { z } from 'zod';
import { actorSchema } from './access';
import { aliasSchema } from './alias';
import { storedFileSchema } from './base-model';
import { idSchema, nameSchema, sha256Schema, timeSchema } from './ids';
import { parentSchema } from './lineage';
import { pageQuerySchema } from './paging';
import { combinationCertificateSchema } from './parity';
import { objectiveTypeSchema, type Recipe, recipeSchema } from './recipe';

export const versionMetricsSchema = z.object({
  steps: z.int().nonnegative(),
  /** Of those, steps whose update was discarded because loss or gradient was not finite. */
  skippedSteps: z.int().nonnegative().default(0),
  /** Times that training diverged and went back to a checkpoint with half of the learning rate. */
  rollbacks: z.int().nonnegative().default(0),
  trainedTokens: z.int().nonnegative(),
  /** Mean of the objective over the last tenth of the steps; this and the others as in jobMetricSchema. null: it was combined, not trained. */
  trainLoss: z.number().nullable(),
  /** Held-out loss of what training started from (the bare base, or a version) and of the adapter; null without an eval split. */
  evalLossBefore: z.number().nullable(),
  evalLossAfter: z.number().nullable(),
  evalAccuracyBefore: z.number().nullable(),
  evalAccuracyAfter: z.number().nullable(),
  seconds: z.number().nonnegative(),
  peakMemoryBytes: z.int().nonnegative(),
});
export type VersionMetrics = z.infer<typeof versionMetricsSchema>;

const checkpointStepSchema = z.int().positive().nullable();

/** What a trainer publishes: written last, under a key that only one writer can win. The version's row repeats it. */
export const manifestSchema = z.object({
  format: z.literal(1),
  jobId: idSchema('job'),
  epoch: z.int().positive(),
  adapter: nameSchema,
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  dataset: z.object({ id: idSchema('dataset'), sha256: sha256Schema }),
  recipe: recipeSchema,
  /** The versions that it was made from. */
  parents: z.array(parentSchema).default([]),
  /** SHA-256 of the chat template text that the data were rendered with. */
  templateSha256: sha256Schema,
  metrics: versionMetricsSchema,
  /** null: it was trained, not combined. */
  certificate: combinationCertificateSchema.nullable().default(null),
  /** The step of the job that it is the state after; null: it is what the job has come to. */
  checkpointStep: checkpointStepSchema.default(null),
  files: z.array(storedFileSchema).min(1),
});
export type Manifest = z.infer<typeof manifestSchema>;

export const adapterVersionSchema = z.object({
  id: idSchema('version'),
  adapter: nameSchema,
  /** 1 for v1. */
  number: z.int().positive(),
  /** The job that made it; null: it was imported. */
  jobId: idSchema('job').nullable(),
  /** The step of that job that it is the state after, where a checkpoint was promoted; null: it is what the job came to. */
  checkpointStep: checkpointStepSchema,
  baseModel: z.object({ id: idSchema('baseModel'), name: nameSchema, revision: z.string() }),
  /** What it was trained on; null: it was imported, so nobody here knows. */
  dataset: z.object({ id: idSchema('dataset'), sha256: sha256Schema }).nullable(),
  /** Of an imported version `lora` and `base` alone say something: what the adapter is, and how its base is kept. */
  recipe: recipeSchema,
  /** The versions that it was made from. */
  parents: z.array(parentSchema),
  templateSha256: sha256Schema,
  metrics: versionMetricsSchema,
  /** How far it answers as the versions do that it was combined of; null: it was not, or by a release that did not look. */
  certificate: combinationCertificateSchema.nullable(),
  files: z.array(storedFileSchema),
  /** 40 hexadecimal digits over the files, as a base model's: the commit that Hugging Face's clients see. */
  revision: z.string().regex(/^[0-9a-f]{40}$/),
  bytes: z.int().nonnegative(),
  createdAt: timeSchema,
  /** Since when it is deleted; only lists of deleted versions show those. */
  deletedAt: timeSchema.nullable(),
});
export type AdapterVersion = z.infer<typeof adapterVersionSchema>;

/** What a version is made of when it is published: by a job's manifest, or imported. */
export type NewVersion = Pick<
  AdapterVersion,
  | 'jobId'
  | 'adapter'
  | 'baseModel'
  | 'dataset'
  | 'recipe'
  | 'parents'
  | 'templateSha256'
  | 'metrics'
  | 'certificate'
  | 'files'
> &
  Partial<Pick<AdapterVersion, 'checkpointStep'>>;

/** Where files of a version, or of an export, can be fetched from without a key, for a while. */
export const fileLinksSchema = z.object({
  files: z.array(
    storedFileSchema.extend({
      /** null: the object store has no address of its own; the API sends the file itself. */
      url: z.string().nullable(),
    }),
  ),
  expiresAt: timeSchema,
});
export type FileLinks = z.infer<typeof fileLinksSchema>;

/** A word that adapters are found by. */
export const tagSchema = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._:-]{0,39}$/, "must be up to 40 lower-case letters, digits, '.', '_', ':' or '-'");

const describedShape = {
  /** A sentence or two for lists. */
  description: z.string().trim().max(1000),
  tags: z
    .array(tagSchema)
    .max(32)
    .transform((tags) => [...new Set(tags)].sort()),
};

/** How an adapter was trained: plain LoRA, or a variant of it. */
export const adapterMethodSchema = z.enum(['lora', 'rslora', 'dora', 'pissa']);
export type AdapterMethod = z.infer<typeof adapterMethodSchema>;

/** The one word for a recipe's method. */
export const methodOf = ({ lora: { dora, init, rsLora } }: Recipe): AdapterMethod => {
  if (dora) return 'dora';
  if (init === 'pissa') return 'pissa';
  return rsLora ? 'rslora' : 'lora';
};

export const adapterSchema = z.object({
  id: idSchema('adapter'),
  name: nameSchema,
  /** Name of the team that lets yours read it; null: your own. */
  sharedBy: z.string().nullable(),
  /** Who made it; null: nobody who is known, or it is another team's. */
  createdBy: actorSchema.nullable(),
  baseModel: nameSchema,
  description: z.string(),
  tags: z.array(z.string()),
  /** By name. */
  aliases: z.array(aliasSchema.pick({ name: true, version: true })),
  /** Highest published version. */
  latestVersion: z.int().positive().nullable(),
  /** What lists are filtered and sorted by: of the highest published version. */
  latest: z
    .object({
      objective: objectiveTypeSchema,
      method: adapterMethodSchema,
      /** On the rows held out, after training. */
      loss: z.number().nullable(),
      accuracy: z.number().nullable(),
    })
    .nullable(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
  /** Since when it is deleted; only lists of deleted adapters show those. */
  deletedAt: timeSchema.nullable(),
});
export type Adapter = z.infer<typeof adapterSchema>;

export const adapterSortSchema = z.enum(['created', 'updated', 'name', 'loss', 'accuracy']);
export type AdapterSort = z.infer<typeof adapterSortSchema>;

/** The words of a text search. */
export const wordsOf = (q: string): string[] => q.split(/\s+/).filter((word) => word !== '');

/** Whether deleted ones are asked for, which can be restored, instead of the others. */
export const deletedSchema = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true')
  .describe('The deleted ones, which can be restored, instead of the others.');

/** Which adapters, and in which order. What is said of training is of the newest version. */
export const adapterQuerySchema = pageQuerySchema.extend({
  query: z.string().max(96).optional().describe('Part of a name.'),
  q: z
    .string()
    .max(200)
    .refine((text) => wordsOf(text).length <= 8, 'must have 8 words at most')
    .optional()
    .describe(
      'Words that all have to be in name, description, tags or written card; upper and lower case are the same.',
    ),
  baseModel: nameSchema.optional().describe('Name of the base model.'),
  owner: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'Id or name of the user or API key that made it; what a key of a member has made counts as the member’s too.',
    ),
  tag: tagSchema.optional().describe('A tag that it has.'),
  objective: objectiveTypeSchema
    .optional()
    .describe('The task that it was trained for: what training minimised.'),
  method: adapterMethodSchema.optional().describe('How it was trained.'),
  maxLoss: z.coerce.number().optional().describe('Highest loss on the rows held out.'),
  minAccuracy: z.coerce.number().optional().describe('Lowest accuracy on the rows held out.'),
  deleted: deletedSchema,
  sort: adapterSortSchema
    .default('created')
    .describe(
      '`created` and `updated`: the newest first; `name`; `loss`: the lowest first; `accuracy`: the highest first. Without the metric: last.',
    ),
});
export type AdapterQuery = z.output<typeof adapterQuerySchema>;

export const describeAdapterSchema = z
  .strictObject({
    ...describedShape,
    /** Markdown instead of the generated card; null: the generated one again. */
    card: z.string().max(200_000).nullable(),
  })
  .partial();
export type DescribeAdapter = z.output<typeof describeAdapterSchema>;

/** What there is to read about an adapter, as Markdown. */
export const adapterCardSchema = z.object({
  text: z.string(),
  /** Whether it is made from versions, metrics and lineage, rather than written by somebody. */
  isGenerated: z.boolean(),
});
export type AdapterCard = z.infer<typeof adapterCardSchema>;
