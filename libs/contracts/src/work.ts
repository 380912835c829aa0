import { z } from 'zod';
import { storedFileSchema } from './base-model';
import { combineSettingsSchema } from './combine';
import { actorSchema } from './access';
import { aliasNameSchema } from './alias';
import { evaluationSettingsSchema } from './evaluation';
import { exportFormatSchema } from './export';
import { idSchema, nameSchema } from './ids';
import { parityThresholdsSchema } from './parity';

/** A version that a job works with, and its files, which never change. */
export const pinnedVersionSchema = z.object({
  id: idSchema('version'),
  adapter: nameSchema,
  /** 3 for v3. */
  number: z.int().positive(),
  files: z.array(storedFileSchema).min(1),
});
export type PinnedVersion = z.infer<typeof pinnedVersionSchema>;

/** What a job does. All kinds wait, run, are stopped and tried again alike. */
export const workSchema = z.discriminatedUnion('kind', [
  /** Train the next version of an adapter. */
  z.object({ kind: z.literal('train') }),
  /** Write a version in another format. */
  z.object({
    kind: z.literal('export'),
    version: pinnedVersionSchema,
    format: exportFormatSchema,
    thresholds: parityThresholdsSchema,
  }),
  /** Make the next version of an adapter of several versions on one base. */
  z.object({
    kind: z.literal('combine'),
    parents: z.array(pinnedVersionSchema).min(2),
    settings: combineSettingsSchema,
    thresholds: parityThresholdsSchema,
  }),
  /** Measure a version on the job's dataset. */
  z.object({
    kind: z.literal('evaluate'),
    version: pinnedVersionSchema,
    settings: evaluationSettingsSchema,
    /** The alias that is to move to the version when it then passes its gate; null: none. */
    move: z
      .object({
        alias: aliasNameSchema,
        /** Where it stood when that was asked for; if it stands elsewhere by then it stays there. */
        from: z.int().positive().nullable(),
        /** On whose behalf, and in which request. */
        actor: actorSchema,
        requestId: z.string(),
      })
      .nullable(),
  }),
]);
export type Work = z.infer<typeof workSchema>;
export type WorkKind = Work['kind'];
export const workKindSchema = z.enum(['train', 'export', 'combine', 'evaluate'] satisfies WorkKind[]);
export type ExportWork = Extract<Work, { kind: 'export' }>;

export type EvaluateWork = Extract<Work, { kind: 'evaluate' }>;
export type CombineWork = Extract<Work, { kind: 'combine' }>;

/** What jobs of releases before did, which had no word for it. */
export const training: Work = { kind: 'train' };
