import { z } from 'zod';
import { storedFileSchema } from './base-model';
import { combineSettingsSchema } from './combine';
import { exportFormatSchema, parityThresholdsSchema } from './export';
import { idSchema, nameSchema } from './ids';

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
  }),
]);
export type Work = z.infer<typeof workSchema>;
export type WorkKind = Work['kind'];
export const workKindSchema = z.enum(['train', 'export', 'combine'] satisfies WorkKind[]);
export type ExportWork = Extract<Work, { kind: 'export' }>;

export type CombineWork = Extract<Work, { kind: 'combine' }>;

/** What jobs of releases before did, which had no word for it. */
export const training: Work = { kind: 'train' };
