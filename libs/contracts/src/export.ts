import { z } from 'zod';
import { storedFileSchema } from './base-model';
import { idSchema, nameSchema, timeSchema } from './ids';
import { certificateSchema, type ParityThresholds } from './parity';

/** What a version can be written as, besides the adapter that it is. */
export const exportFormatSchema = z.enum(['merged', 'gguf-adapter', 'gguf-f16', 'gguf-q8_0']);
export type ExportFormat = z.infer<typeof exportFormatSchema>;

/** Of a format, where nothing else is asked for: those that keep every number, 16 bits, 8 bits. */
export const parityThresholds: Readonly<Record<ExportFormat, ParityThresholds>> = {
  'gguf-adapter': { klMean: 0.0001, agreement: 0.999 },
  merged: { klMean: 0.01, agreement: 0.98 },
  'gguf-f16': { klMean: 0.01, agreement: 0.98 },
  'gguf-q8_0': { klMean: 0.02, agreement: 0.97 },
};

/** What a trainer publishes of an export: written last, under a key that only one writer can win. */
export const exportManifestSchema = z.object({
  format: z.literal(1),
  jobId: idSchema('job'),
  epoch: z.int().positive(),
  versionId: idSchema('version'),
  exportFormat: exportFormatSchema,
  certificate: certificateSchema,
  files: z.array(storedFileSchema).min(1),
});
export type ExportManifest = z.infer<typeof exportManifestSchema>;

/** A version in another format. A version has at most one of each; a later export takes the place of the one before. */
export const versionExportSchema = z.object({
  adapter: nameSchema,
  /** 3 for v3. */
  version: z.int().positive(),
  format: exportFormatSchema,
  /** The job that made it. */
  jobId: idSchema('job'),
  certificate: certificateSchema,
  files: z.array(storedFileSchema),
  bytes: z.int().nonnegative(),
  createdAt: timeSchema,
});
export type VersionExport = z.infer<typeof versionExportSchema>;
