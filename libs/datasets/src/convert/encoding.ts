import { LowrankError } from '@lowrank/contracts';
import { open } from 'node:fs/promises';

/** How a file holds its rows. */
export type Encoding = 'jsonl' | 'json' | 'csv' | 'parquet' | 'gzip';

/** What files begin with. Sources: the formats' specifications; RFC 1952 for gzip. */
const magics: readonly [Buffer, Encoding | string][] = [
  [Buffer.from('PAR1'), 'parquet'],
  [Buffer.from([0x1f, 0x8b]), 'gzip'],
  [Buffer.from('PK\u0003\u0004'), 'a ZIP archive or an Excel file'],
  [Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), 'compressed with zstd'],
  [Buffer.from('BZh'), 'compressed with bzip2'],
  [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a]), 'compressed with xz'],
  [Buffer.from('PARE'), 'an encrypted Parquet file'],
  [Buffer.from('ARROW1'), 'an Arrow file'],
  [Buffer.from([0xff, 0xfe]), 'text in UTF-16'],
  [Buffer.from([0xfe, 0xff]), 'text in UTF-16'],
];
const known: readonly string[] = ['parquet', 'gzip'] satisfies Encoding[];

const beginsWith = (start: Buffer, [magic]: readonly [Buffer, string]): boolean =>
  start.subarray(0, magic.length).equals(magic);
const isJsonArray = (start: Buffer, filename: string): boolean =>
  /\.json(\.gz)?$/i.test(filename) && start.toString('utf8').trimStart().startsWith('[');

/** Whether a file is read line by line, by what it begins with and its name; if not, a line has no length to speak of. */
export const hasLines = (start: Buffer, filename: string): boolean =>
  !magics.some((magic) => beginsWith(start, magic)) && !isJsonArray(start.subarray(0, 4096), filename);

/**
 * How a file holds its rows: by what it begins with, and for text by its name. Throws dataset_invalid for what is known not to be read.
 * `filename` is the name that it was uploaded under.
 */
export async function encodingOf(path: string, filename: string): Promise<Encoding> {
  const file = await open(path);
  const head = Buffer.alloc(4096);
  const { bytesRead } = await file.read(head, 0, head.length, 0).finally(() => file.close());
  const start = head.subarray(0, bytesRead);
  const found = magics.find((magic) => beginsWith(start, magic))?.[1];
  if (found !== undefined && !known.includes(found))
    throw new LowrankError(
      'dataset_invalid',
      `the file is ${found}; upload JSONL or CSV in UTF-8 (gzip is fine) or Parquet`,
    );
  if (found !== undefined) return found as Encoding;
  if (/\.[ct]sv(\.gz)?$/i.test(filename)) return 'csv';
  return isJsonArray(start, filename) ? 'json' : 'jsonl';
}
