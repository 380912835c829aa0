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

/** Of every conversation of a dataset, under one tokenizer: how many tokens it has and which are learnt. Millions fit in memory. */
export interface TokenLengths {
  /** [n] tokens of each conversation. */
  tokens: Int32Array;
  /** [n + 1] where each one's spans begin in `spans`. */
  starts: Int32Array;
  /** begin, end, begin, end …: the learnt tokens [begin, end) of one conversation after the other. */
  spans: Int32Array;
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
  /** When it is deleted by itself, as soon as no unfinished job trains on it; null: never. */
  expiresAt: timeSchema.nullable(),
});
export type Dataset = z.infer<typeof datasetSchema>;
