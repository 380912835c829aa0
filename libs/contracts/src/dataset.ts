import { z } from 'zod';
import { errorDetailSchema } from './errors';
import { idPrefixes, idSchema, nameSchema, sha256Schema, timeSchema } from './ids';
import { pageQuerySchema } from './paging';
import { datasetFormats } from './words';

export const datasetFormatSchema = z.enum(datasetFormats);
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

/** What looks like an id is no name: a reference could mean either. */
const idLike = new RegExp(`^(?:${Object.values(idPrefixes).join('|')})_[a-z2-7]{24}$`);
export const datasetNameSchema = nameSchema.refine((name) => !idLike.test(name), 'must not look like an id');

const referencePattern =
  /^(?<name>[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?:@(?:(?<latest>latest)|v?(?<number>[1-9]\d{0,5})|(?<hash>[0-9a-f]{7,64})))?$/;

/** A version of a dataset in a request: its id, or `chats`, `chats@3`, `chats@latest`, `chats@<seven or more digits of its SHA-256>`. */
export const datasetRefSchema = z
  .string()
  .max(200)
  .refine(
    (text) =>
      idSchema('dataset').safeParse(text).success || (referencePattern.test(text) && !idLike.test(text)),
    `must be the id of a dataset, ${idPrefixes.dataset}_…, or a name such as chats, chats@3 or chats@1f2e3d4`,
  );

/** What a reference names: an id; or a name and which of its versions, null: the newest. null: it is no reference. */
export type DatasetRef =
  { id: string } | { name: string; version: { number: number } | { sha256: string } | null };
export function readDatasetRef(text: string): DatasetRef | null {
  if (idSchema('dataset').safeParse(text).success) return { id: text };
  const { name, number, hash } = referencePattern.exec(text)?.groups ?? {};
  if (name === undefined) return null;
  if (number !== undefined) return { name, version: { number: Number(number) } };
  return { name, version: hash === undefined ? null : { sha256: hash } };
}

/** The name that a file's rows get where the upload gives none: `My chats.jsonl.gz` is `my-chats`. */
export function datasetNameOf(filename: string): string {
  const name = filename
    .toLowerCase()
    .replace(/(?:\.(?:jsonl|ndjson|json|csv|tsv|parquet|txt))?(?:\.gz)?$/, '')
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/\.{2,}/g, '.')
    .slice(0, 96)
    .replace(/^[._-]+|[._-]+$/g, '');
  return datasetNameSchema.safeParse(name).success ? name : 'dataset';
}

/** An uploaded file with a checked format: one immutable version of what its name stands for. */
export const datasetSchema = z.object({
  id: idSchema('dataset'),
  name: datasetNameSchema,
  /** 1, 2, … within the name. The same content under the same name is the same version. */
  version: z.int().positive(),
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

export const datasetQuerySchema = pageQuerySchema.extend({
  /** Only the versions of this name. */
  name: datasetNameSchema.optional(),
});
export type DatasetQuery = z.output<typeof datasetQuerySchema>;

/** Rows that are shown at once, and tokens of a conversation: more than anybody reads. */
export const previewLimits = { rows: 20, tokens: 8192 };

export const previewQuerySchema = z.strictObject({
  /** Name or id of the base model that renders; default: the oldest. */
  baseModel: z.string().min(1).max(96).optional(),
  /** The first row to show, 1-based. */
  row: z.coerce.number().int().min(1).default(1),
  /** How many to show. */
  rows: z.coerce.number().int().min(1).max(previewLimits.rows).default(1),
});
export type PreviewQuery = z.output<typeof previewQuerySchema>;

/** One conversation as the model sees it in training. */
export const previewedConversationSchema = z.object({
  /** Token by token, the first 8,192: what it adds to the text, and whether it is learnt. Text of a character in several tokens comes with the last. */
  tokens: z.array(z.object({ id: z.int(), text: z.string(), learnt: z.boolean() })),
  /** Of the whole conversation. */
  tokenCount: z.int().nonnegative(),
  lossTokens: z.int().nonnegative(),
});
export type PreviewedConversation = z.infer<typeof previewedConversationSchema>;

export const previewedRowSchema = z.object({
  row: z.int().positive(),
  line: z.int().positive(),
  /** Why the row cannot be trained on with this base model; null when it can. */
  error: errorDetailSchema.nullable(),
  /** One; of a preference two, chosen then rejected; none with an error. */
  conversations: z.array(previewedConversationSchema),
});
export type PreviewedRow = z.infer<typeof previewedRowSchema>;

/** Rows of a dataset rendered with a base model's template. */
export const datasetPreviewSchema = z.object({
  /** Name of the base model. */
  baseModel: z.string(),
  rows: z.array(previewedRowSchema),
  /** Whether rows follow. */
  hasMore: z.boolean(),
});
export type DatasetPreview = z.infer<typeof datasetPreviewSchema>;

/** How long conversations are, in tokens of one base model. */
export const lengthStatisticsSchema = z.object({
  conversations: z.int().nonnegative(),
  tokens: z.int().nonnegative(),
  lossTokens: z.int().nonnegative(),
  mean: z.number().nonnegative(),
  percentiles: z.object({
    p0: z.int(),
    p50: z.int(),
    p90: z.int(),
    p95: z.int(),
    p99: z.int(),
    p100: z.int(),
  }),
  /** Conversations of [from, to) tokens; `to` doubles from one to the next. */
  histogram: z.array(z.object({ from: z.int(), to: z.int(), conversations: z.int().nonnegative() })),
  /** Conversations of more tokens than fit. */
  tooLong: z.object({ sequenceLength: z.int().positive(), conversations: z.int().nonnegative() }),
});
export type LengthStatistics = z.infer<typeof lengthStatisticsSchema>;

/** Rows that say the same: the first of each group, by line, and its copies. The first 20 groups. */
const copiesSchema = z.object({
  /** Rows that could go: all but the first of each group. */
  rows: z.int().nonnegative(),
  groups: z.array(z.object({ line: z.int().positive(), copies: z.array(z.int().positive()) })),
});

export const duplicateReportSchema = z.object({
  rows: z.int().nonnegative(),
  /** The same text but for case, punctuation and white space. */
  exact: copiesSchema,
  /** Four fifths or more of their stretches of five words in common, by estimate. */
  near: copiesSchema,
  /** Rows that near copies were looked for among: the first of them. */
  nearOf: z.int().nonnegative(),
  /** Rows of another dataset that are copies of rows here: `line` is here, `copies` are there. null: none was named. */
  overlap: z.object({ rows: z.int().nonnegative(), exact: copiesSchema, near: copiesSchema }).nullable(),
});
export type DuplicateReport = z.infer<typeof duplicateReportSchema>;

export const statisticsQuerySchema = z.strictObject({
  /** Name or id of the base model whose tokenizer counts; default: the oldest. */
  baseModel: z.string().min(1).max(96).optional(),
  sequenceLength: z.coerce.number().int().min(1).max(1_048_576).default(2048),
  /** Another dataset, such as the one to evaluate on, whose rows should not be here. */
  against: datasetRefSchema.optional(),
});
export type StatisticsQuery = z.output<typeof statisticsQuerySchema>;

export const datasetStatisticsSchema = z.object({
  /** Name of the base model. */
  baseModel: z.string(),
  /** null: still being counted; ask again. */
  lengths: lengthStatisticsSchema.nullable(),
  /** null: still being looked for; ask again. */
  duplicates: duplicateReportSchema.nullable(),
});
export type DatasetStatistics = z.infer<typeof datasetStatisticsSchema>;
