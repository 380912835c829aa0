import { type ErrorDetail, LowrankError } from '@lowrank/contracts';
import { isUtf8 } from 'node:buffer';
import { createReadStream, createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { isObject } from '../messages';
import { readCsv } from './csv';
import { type Encoding, encodingOf } from './encoding';
import { readParquet } from './parquet';
import { type SourceRow } from './source-row';

const SHOWN_ERRORS = 20;
/** A JSON array is held in memory whole. */
const MAX_JSON_BYTES = 128 * 2 ** 20;

export interface ConvertOptions {
  /** Name that the file was uploaded under. */
  filename: string;
  /** Most bytes that it may become, unpacked and as JSONL. */
  maxBytes: number;
  maxLineBytes: number;
}

const tooLarge = (maxBytes: number): LowrankError =>
  new LowrankError('body_too_large', `The file becomes larger than ${maxBytes} bytes.`);

/** Unpacks a gzip file. Throws body_too_large as soon as it is, and dataset_invalid. */
async function gunzip(source: string, target: string, maxBytes: number): Promise<void> {
  let bytes = 0;
  const limited = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      yield chunk;
    }
  };
  try {
    await pipeline(createReadStream(source), createGunzip(), limited, createWriteStream(target));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!code?.startsWith('Z_')) throw error;
    throw new LowrankError('dataset_invalid', `the gzip file is broken: ${message}`, undefined, {
      cause: error,
    });
  }
}

/** The objects of a JSON array. */
async function* readJson(path: string): AsyncGenerator<SourceRow> {
  const { size } = await stat(path);
  if (size > MAX_JSON_BYTES)
    throw new LowrankError(
      'body_too_large',
      `A JSON array of more than ${MAX_JSON_BYTES} bytes: write it as JSONL.`,
    );
  const bytes = await readFile(path);
  if (!isUtf8(bytes)) throw new LowrankError('dataset_invalid', 'the file is not valid UTF-8');
  let rows: unknown;
  try {
    rows = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new LowrankError('dataset_invalid', 'the file begins as a JSON array, but is none');
  }
  for (const [i, value] of (rows as unknown[]).entries())
    yield isObject(value)
      ? { line: i + 1, value }
      : { line: i + 1, value: null, problem: { message: 'a row has to be a JSON object' } };
}

/** A row's line of JSONL, or what is wrong with the row. */
function jsonOf(
  { value, problem }: SourceRow,
  maxLineBytes: number,
): string | { path?: string; message: string } {
  if (problem !== undefined) return problem;
  try {
    const json = JSON.stringify(value);
    return Buffer.byteLength(json) > maxLineBytes ? { message: `longer than ${maxLineBytes} bytes` } : json;
  } catch {
    return { message: 'nested too deeply' };
  }
}

/**
 * Writes rows as JSONL, each at the line that it has in its source: lines of several become one and blank ones, so that whoever reads
 * the result names lines of the source. Throws dataset_invalid with the first rows at fault, body_too_large.
 */
async function writeRows(
  rows: AsyncIterable<SourceRow>,
  target: string,
  { maxBytes, maxLineBytes }: ConvertOptions,
): Promise<void> {
  const output = createWriteStream(target);
  const errors: ErrorDetail[] = [];
  let wrong = 0;
  let line = 1;
  let bytes = 0;
  try {
    for await (const row of rows) {
      const json = jsonOf(row, maxLineBytes);
      if (typeof json !== 'string') {
        wrong += 1;
        if (errors.length < SHOWN_ERRORS) errors.push({ line: row.line, ...json });
        continue;
      }
      const text = `${'\n'.repeat(row.line - line)}${json}\n`;
      line = row.line + 1;
      bytes += Buffer.byteLength(text);
      if (bytes > maxBytes) throw tooLarge(maxBytes);
      if (wrong === 0 && !output.write(text)) await once(output, 'drain');
    }
    output.end();
    await finished(output);
  } finally {
    output.destroy();
  }
  const [first] = errors;
  if (first)
    throw new LowrankError(
      'dataset_invalid',
      `${wrong} of the rows cannot be used; row ${first.line}: ${first.message}`,
      errors,
    );
}

/** Writes a file of any encoding but JSONL as JSONL. Resolves to the file to use: `target`, or what gzip held. */
export async function convertFile(source: string, target: string, options: ConvertOptions): Promise<string> {
  const encoding = await encodingOf(source, options.filename);
  if (encoding !== 'gzip') return convertPlain(source, encoding, target, options);
  const unpacked = `${target}.unpacked`;
  await gunzip(source, unpacked, options.maxBytes);
  const inner = await encodingOf(unpacked, options.filename);
  if (inner === 'gzip') throw new LowrankError('dataset_invalid', 'the file is packed with gzip twice');
  return convertPlain(unpacked, inner, target, options);
}

async function convertPlain(
  source: string,
  encoding: Exclude<Encoding, 'gzip'>,
  target: string,
  options: ConvertOptions,
): Promise<string> {
  switch (encoding) {
    case 'jsonl':
      return source;
    case 'json':
      await writeRows(readJson(source), target, options);
      return target;
    case 'csv': {
      const stream = createReadStream(source, { highWaterMark: 1 << 20 });
      await writeRows(readCsv(stream, options.maxLineBytes), target, options);
      return target;
    }
    case 'parquet':
      await writeRows(readParquet(source), target, options);
      return target;
  }
}
