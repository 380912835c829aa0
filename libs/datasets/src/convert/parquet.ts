import { LowrankError } from '@lowrank/contracts';
import { decompress as unzstd } from 'fzstd';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from './hyparquet';
import { knownColumns, rowOfCells, type SourceRow } from './source-row';

/** More than any table of conversations has; each column of each group costs memory before a row is read. */
const MAX_COLUMNS = 10_000;
const MAX_GROUPS = 1_000_000;

/** Pages by codec; a page that is not as long as its header says is refused by the reader, and none gets longer. */
const compressors = {
  GZIP: (page: Uint8Array, bytes: number) => gunzipSync(page, { maxOutputLength: Math.max(1, bytes) }),
  BROTLI: (page: Uint8Array, bytes: number) =>
    brotliDecompressSync(page, { maxOutputLength: Math.max(1, bytes) }),
  ZSTD: (page: Uint8Array, bytes: number) => unzstd(page, new Uint8Array(bytes)),
};
const codecs = ['UNCOMPRESSED', 'SNAPPY', ...Object.keys(compressors)];

const refused = (message: string): LowrankError => new LowrankError('dataset_invalid', message);

/** Stands for text that is not valid UTF-8 until its row is known. */
const notUtf8 = Symbol('not UTF-8');
const strict = new TextDecoder('utf-8', { fatal: true });
const parsers = {
  stringFromBytes(bytes: Uint8Array | undefined): string | symbol | undefined {
    try {
      return bytes && strict.decode(bytes);
    } catch {
      return notUtf8;
    }
  },
};

/** A value as JSON has it: structures without their empty fields, which tables cannot leave out. null: nothing is there. */
function plain(value: unknown): unknown {
  if (value === notUtf8) throw new Error('is not valid UTF-8');
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) throw new Error('is binary, not text');
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object') return value;
  const fields = Object.entries(value).map(([name, field]) => [name, plain(field)] as const);
  return Object.fromEntries(fields.filter(([, field]) => field !== null));
}

function rowOf(line: number, columns: Record<string, unknown>): SourceRow {
  const cells: Record<string, unknown> = {};
  for (const [path, column] of Object.entries(columns)) {
    try {
      const value = plain(column);
      if (value !== null) cells[path] = value;
    } catch (error) {
      return { line, value: null, problem: { path, message: `${path} ${(error as Error).message}` } };
    }
  }
  return rowOfCells(line, cells);
}

/** What the reader says of a broken file, for people. */
function broken(error: unknown): LowrankError {
  if (error instanceof LowrankError) return error;
  const { message } = error as Error;
  return refused(`the Parquet file cannot be read: ${message.replace(/^parquet /, '').slice(0, 200)}`);
}

/**
 * The rows of a Parquet file, one row group in memory at a time, of the columns that formats know. Snappy, gzip, brotli, zstd or no compression.
 * To be run where memory and time are limited: a file can claim anything. Throws dataset_invalid.
 */
export async function* readParquet(path: string): AsyncGenerator<SourceRow> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const { row_groups: groups } = metadata;
    const names = parquetSchema(metadata).children.map(({ element }) => element.name);
    if (names.length > MAX_COLUMNS || groups.length > MAX_GROUPS)
      throw refused(`the Parquet file has ${names.length} columns in ${groups.length} row groups`);
    const columns = names.filter((name) => knownColumns.includes(name));
    if (columns.length === 0)
      throw refused(
        `columns {${names.slice(0, 8).join(', ').slice(0, 200)}} are none that a dataset has: ${knownColumns.join(', ')}`,
      );
    const codec = groups
      .flatMap((group) => group.columns)
      .map(({ meta_data: data }) => data?.codec ?? 'UNCOMPRESSED')
      .find((name) => !codecs.includes(name));
    if (codec !== undefined)
      throw refused(
        `the Parquet file is compressed with ${codec}; write it with one of ${codecs.join(', ')}`,
      );
    let rowStart = 0;
    for (const { num_rows: rows } of groups) {
      const rowEnd = rowStart + Number(rows);
      const options = { file, metadata, columns, compressors, parsers, rowStart, rowEnd };
      const found = await parquetReadObjects(options);
      if (found.length !== Number(rows))
        throw refused(`a row group of the Parquet file has ${found.length} rows and says ${rows}`);
      for (const [i, row] of found.entries()) yield rowOf(rowStart + i + 1, row);
      rowStart = rowEnd;
    }
  } catch (error) {
    throw broken(error);
  }
}
