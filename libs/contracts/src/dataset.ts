import { z } from 'zod';
import { idSchema, sha256Schema, timeSchema } from './ids';

export const datasetFormatSchema = z.enum(['chat', 'sharegpt', 'prompt-completion', 'alpaca', 'preference']);
export type DatasetFormat = z.infer<typeof datasetFormatSchema>;

/** A call of a tool that the assistant asks for. */
export interface ToolCall {
  id?: string;
  type: 'function';
  /** Arguments by name: the object that templates expect, also where the file has it as JSON text. */
  function: { name: string; arguments: Record<string, unknown> };
}

/** One turn, as chat templates see it. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  /** Absent: an answer that only calls tools. Templates get along with a field that is missing, not with one that is none. */
  content?: string;
  /** What the assistant thought before an answer. */
  reasoning_content?: string;
  tool_calls?: ToolCall[];
  /** Of a tool's result: which call it answers, and which tool gave it. */
  tool_call_id?: string;
  name?: string;
}

/** Every format becomes this, a preference two of it, before it is rendered with the model's own template. */
export interface ChatRow {
  messages: ChatMessage[];
  /** What the assistant may call, as JSON schemas of functions. */
  tools?: object[];
  /** Index of the first message that may be learnt; 0 unless given: every answer of the assistant. */
  learnFrom?: number;
  /** Indexes of answers that are context only. */
  notLearnt?: number[];
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
});
export type Dataset = z.infer<typeof datasetSchema>;
