import { type ErrorCode, type ErrorDetail, LowrankError } from '@lowrank/contracts';
import { fork } from 'node:child_process';
import { extname, join } from 'node:path';
import { READING_MS } from '../thread';
import { type ConvertOptions } from './convert';
import { encodingOf } from './encoding';

export interface ConvertRequest extends ConvertOptions {
  source: string;
  target: string;
  /** Memory that the process may take. */
  memoryBytes: number;
}
/** Errors cross processes as plain objects. */
export type ConvertReply =
  { file: string } | { code: ErrorCode | null; message: string; details?: ErrorDetail[] };

const usualMemoryBytes = 1.5 * 2 ** 30;

export interface PrepareOptions extends ConvertOptions {
  signal?: AbortSignal;
  memoryBytes?: number;
  timeoutMs?: number;
}

/**
 * An uploaded file as JSONL: itself when it is, else converted into `folder`. CSV, Parquet, JSON arrays and gzip are read in a process of
 * their own with bounded memory and time and an environment without secrets, so that no file can hold up or end the caller.
 * Errors: dataset_invalid with the first rows at fault, body_too_large.
 */
export async function prepareDatasetFile(
  path: string,
  folder: string,
  options: PrepareOptions,
): Promise<string> {
  const { signal, memoryBytes = usualMemoryBytes, timeoutMs = READING_MS, ...convert } = options;
  if ((await encodingOf(path, options.filename)) === 'jsonl') return path;
  signal?.throwIfAborted();
  const request: ConvertRequest = {
    ...convert,
    memoryBytes,
    source: path,
    target: join(folder, 'converted.jsonl'),
  };
  const child = fork(join(__dirname, `process${extname(__filename)}`), [], {
    env: { NODE_OPTIONS: process.env['NODE_OPTIONS'] },
    execArgv: [`--max-old-space-size=${Math.round(memoryBytes / 2 ** 20)}`],
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  let isLate = false;
  const stop = (): void => void child.kill('SIGKILL');
  const timer = setTimeout(() => {
    isLate = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const reply = await new Promise<ConvertReply>((resolve, reject) => {
      child.once('message', (message) => resolve(message as ConvertReply));
      child.once('error', reject);
      child.once('exit', () => {
        const limit = isLate ? `takes longer than ${timeoutMs / 1000} s` : 'takes too much memory';
        reject(signal?.reason ?? new LowrankError('dataset_invalid', `reading the file ${limit}`));
      });
      child.send(request, (error) => error && reject(error));
    });
    if ('file' in reply) return reply.file;
    if (reply.code === null) throw new Error(reply.message);
    throw new LowrankError(reply.code, reply.message, reply.details);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
