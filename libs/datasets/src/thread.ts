import {
  errorCodeSchema,
  LowrankError,
  type DatasetFormat,
  type DuplicateReport,
  type ErrorDetail,
  type PreviewedRow,
  type TokenLengths,
} from '@lowrank/contracts';
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type DatasetCheck } from './check';
import { type NumberedLine } from './preview';

/** A JSONL file whose rows have a format. */
export interface FormattedFile {
  file: string;
  format: DatasetFormat;
}

/** What the thread can be asked for, and what it answers. Paths are files and folders of this machine. */
export interface ThreadTasks {
  check: {
    request: { file: string; format?: DatasetFormat; maxLineBytes: number; folder?: string };
    response: DatasetCheck;
  };
  tokenizer: { request: { folder: string }; response: { vocabSize: number; templateSha256: string } };
  measure: {
    request: { file: string; folder: string; format: DatasetFormat; maxLineBytes: number };
    response: TokenLengths;
  };
  duplicates: {
    request: { file: string; format: DatasetFormat; against: FormattedFile | null; maxLineBytes: number };
    response: DuplicateReport;
  };
  preview: {
    request: { lines: NumberedLine[]; folder: string; format: DatasetFormat };
    response: PreviewedRow[];
  };
  encode: {
    request: { file: string; target: string; folder: string; format: DatasetFormat; maxLineBytes: number };
    response: null;
  };
}
export type ThreadRequest = {
  [T in keyof ThreadTasks]: { task: T } & ThreadTasks[T]['request'];
}[keyof ThreadTasks];

/** Errors cross threads as plain objects. */
export type ThreadReply =
  { ok: true; value: unknown } | { ok: false; code: string | null; message: string; details?: ErrorDetail[] };

/** Enough for the longest line in every form that it takes on its way; a parser that runs wild ends here, not in the caller. */
const HEAP_MEGABYTES = 1024;
/** Longest that reading a file of a user takes, in a thread or in a process of its own. */
export const READING_MS = 600_000;

function toError(reply: ThreadReply & { ok: false }): Error {
  const code = errorCodeSchema.safeParse(reply.code);
  return code.success ? new LowrankError(code.data, reply.message, reply.details) : new Error(reply.message);
}

/**
 * Does one task in a thread of its own, with bounded memory and an environment without secrets, so that neither long nor hostile
 * input holds up or ends the caller. Throws what the task throws; dataset_invalid when it needs too much memory, or more time than `timeoutMs`
 * (default: as long as it takes).
 */
export async function runInThread<T extends keyof ThreadTasks>(
  request: { task: T } & ThreadTasks[T]['request'],
  { signal, timeoutMs }: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<ThreadTasks[T]['response']> {
  signal?.throwIfAborted();
  const worker = new Worker(join(__dirname, `worker${extname(__filename)}`), {
    workerData: request,
    env: { NODE_OPTIONS: process.env['NODE_OPTIONS'] },
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES },
  });
  const stop = (): void => void worker.terminate();
  let isLate = false;
  const late = (): void => {
    isLate = true;
    stop();
  };
  const timer = timeoutMs === undefined ? undefined : setTimeout(late, timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const reply = await new Promise<ThreadReply>((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', (error: NodeJS.ErrnoException) => {
        const tooMuch = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
        const code = request.task === 'tokenizer' ? 'base_model_invalid' : 'dataset_invalid';
        reject(tooMuch ? new LowrankError(code, 'reading it takes too much memory') : error);
      });
      worker.once('exit', () => {
        const tooLong = `reading the file takes longer than ${(timeoutMs ?? 0) / 1000} s`;
        const own = isLate
          ? new LowrankError('dataset_invalid', tooLong)
          : new Error('the thread ended without an answer');
        reject(signal?.reason ?? own);
      });
    });
    if (!reply.ok) throw toError(reply);
    return reply.value as ThreadTasks[T]['response'];
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    await worker.terminate();
  }
}

export interface CheckFileOptions {
  /** Default: the format of the first row. */
  format?: DatasetFormat;
  maxLineBytes: number;
  /** Folder with a model's tokenizer files; tokens are counted when given. */
  tokenizerDir?: string;
  signal?: AbortSignal;
  /** Default: ten minutes. */
  timeoutMs?: number;
}

/** checkDataset over a file, in a thread of its own, with bounded time. */
export function checkDatasetFile(file: string, options: CheckFileOptions): Promise<DatasetCheck> {
  const { format, maxLineBytes, tokenizerDir, signal, timeoutMs = READING_MS } = options;
  const request = { task: 'check', file, format, maxLineBytes, folder: tokenizerDir } as const;
  return runInThread(request, { signal, timeoutMs });
}

/** measureDataset with the tokenizer of a model folder, in a thread of its own. */
export function measureDatasetFile(
  file: string,
  options: { tokenizerDir: string; format: DatasetFormat; maxLineBytes: number; signal?: AbortSignal },
): Promise<TokenLengths> {
  const { tokenizerDir, format, maxLineBytes, signal } = options;
  return runInThread({ task: 'measure', file, folder: tokenizerDir, format, maxLineBytes }, { signal });
}

/** findDuplicates over files, in a thread of its own, with bounded time. */
export function findDuplicatesInFiles(
  source: FormattedFile,
  options: { against: FormattedFile | null; maxLineBytes: number; signal?: AbortSignal },
): Promise<DuplicateReport> {
  const { signal, ...rest } = options;
  return runInThread({ task: 'duplicates', ...source, ...rest }, { signal, timeoutMs: READING_MS });
}

/** previewRows with the tokenizer of a model folder, in a thread of its own, with bounded time. */
export function previewInThread(
  lines: NumberedLine[],
  options: { tokenizerDir: string; format: DatasetFormat; signal?: AbortSignal },
): Promise<PreviewedRow[]> {
  const { tokenizerDir, format, signal } = options;
  const request = { task: 'preview', lines, folder: tokenizerDir, format } as const;
  return runInThread(request, { signal, timeoutMs: READING_MS });
}

/** encodeDataset with the tokenizer of a model folder, in a thread of its own. */
export async function encodeDatasetFile(
  file: string,
  target: string,
  options: { tokenizerDir: string; format: DatasetFormat; maxLineBytes: number; signal?: AbortSignal },
): Promise<void> {
  const { tokenizerDir, format, maxLineBytes, signal } = options;
  await runInThread({ task: 'encode', file, target, folder: tokenizerDir, format, maxLineBytes }, { signal });
}

/** SHA-256 of the chat template of a model folder, whose tokenizer is loaded in a thread of its own. */
export async function templateOf(tokenizerDir: string): Promise<string> {
  return (await runInThread({ task: 'tokenizer', folder: tokenizerDir })).templateSha256;
}
