import { z } from 'zod';
import { idSchema, sha256Schema, timeSchema } from './ids';

export const datasetFormatSchema = z.enum(['chat', 'prompt-completion', 'alpaca', 'preference']);
export type DatasetFormat = z.infer<typeof datasetFormatSchema>;

export const chatMessageSchema = z.object({
  role: z.enum(['system', 'user', 'assistant']),
  content: z.string(),
});
export type ChatMessage = z.infer<typeof chatMessageSchema>;

/** Every format becomes this, a preference two of it, before it is rendered with the model's own template. */
export interface ChatRow {
  messages: ChatMessage[];
  /** Index of the first message that may be learnt; 0 unless given: every answer of the assistant. */
  learnFrom?: number;
}

/** An uploaded file with a checked format. */
export const datasetSchema = z.object({
  id: idSchema('dataset'),
  filename: z.string(),
  bytes: z.int().nonnegative(),
  sha256: sha256Schema,
  format: datasetFormatSchema,
  rows: z.int().nonnegative(),
  /** Tokens of all rows (of a preference: of both conversations) rendered with the template of `tokensOf`, and of those the ones a loss is taken on. */
  tokens: z.int().nonnegative().nullable(),
  lossTokens: z.int().nonnegative().nullable(),
  /** Name of the base model whose tokenizer counted; null when none was there yet. */
  tokensOf: z.string().nullable(),
  createdAt: timeSchema,
});
export type Dataset = z.infer<typeof datasetSchema>;
