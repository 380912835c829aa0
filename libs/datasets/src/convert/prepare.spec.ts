import { type LowrankError } from '@lowrank/contracts';
import { readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';
import { checkDataset } from '../check';
import { prepareDatasetFile, type PrepareOptions } from './prepare';

const parquetFolder = join(__dirname, '../../test/parquet');
const parquet = (name: string): Promise<Buffer> => readFile(join(parquetFolder, `${name}.parquet`));

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-convert-'))));
afterEach(() => rm(folder, { recursive: true }));

async function prepare(
  filename: string,
  content: string | Uint8Array,
  options: Partial<PrepareOptions> = {},
): Promise<string> {
  const path = join(folder, 'file');
  await writeFile(path, content);
  const limits = { filename, maxBytes: 2 ** 24, maxLineBytes: 2 ** 16 };
  return readFile(await prepareDatasetFile(path, folder, { ...limits, ...options }), 'utf8');
}

async function refusal(...args: Parameters<typeof prepare>): Promise<LowrankError> {
  return prepare(...args).then(
    () => {
      throw new Error('the file was taken');
    },
    (error: LowrankError) => error,
  );
}

const rowsOf = (text: string): unknown[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

describe('prepareDatasetFile', () => {
  it('leaves JSONL as it is, whatever its name', async () => {
    for (const name of ['a.jsonl', 'a.txt', 'a.json', 'a'])
      expect(await prepare(name, '{"a": 1}\n\n')).toBe('{"a": 1}\n\n');
  });

  it('keeps every row of a CSV file at its line', async () => {
    const csv = 'prompt,completion\n\n"two\nlines",a\nb,c\n';
    const text = await prepare('pairs.CSV', csv);
    expect(text.split('\n')).toEqual([
      '',
      '',
      '{"prompt":"two\\nlines","completion":"a"}',
      '',
      '{"prompt":"b","completion":"c"}',
      '',
    ]);
    expect(await prepare('pairs.csv.gz', gzipSync(csv))).toBe(text);
  });

  it('names lines of the CSV file when a check finds fault with its rows', async () => {
    const text = await prepare('pairs.csv', 'prompt,completion\n"two\nlines",a\nb,\n');
    async function* stream() {
      yield Buffer.from(text);
    }
    expect(await checkDataset(stream(), { maxLineBytes: 1000 })).toMatchObject({
      rows: 1,
      errors: [{ line: 4, path: 'completion', message: 'completion is empty' }],
    });
  });

  it('reads JSON arrays, and gzip of anything', async () => {
    const rows = [
      { prompt: 'a', completion: 'b' },
      { prompt: 'c', completion: 'd' },
    ];
    expect(rowsOf(await prepare('a.json', ` \n${JSON.stringify(rows, null, 2)}`))).toEqual(rows);
    expect(rowsOf(await prepare('a.jsonl.gz', gzipSync('{"a":1}\n')))).toEqual([{ a: 1 }]);
    expect(rowsOf(await prepare('a', gzipSync(await parquet('alpaca'))))).toHaveLength(2);
  });

  it.each(['none', 'snappy', 'gzip', 'zstd', 'brotli'])('reads Parquet with %s', async (codec) => {
    const rows = rowsOf(await prepare('chats.parquet', await parquet(codec)));
    expect(rows).toHaveLength(7);
    // Only columns that a format has; nothing where the table has nulls.
    expect(rows[6]).toEqual({
      messages: [
        { role: 'user', content: 'Question 7: naïve 🙂?' },
        { role: 'assistant', content: 'Answer 7.' },
      ],
    });
  });

  it('reads other columns of Parquet', async () => {
    expect(rowsOf(await prepare('a.parquet', await parquet('alpaca')))).toEqual(
      Array(2).fill({ instruction: 'Add.', output: '4' }),
    );
  });

  it('answers for every Parquet file of the tests', () => {
    const tested = [
      'alpaca',
      'bomb',
      'brotli',
      'gzip',
      'lz4',
      'no-columns',
      'none',
      'not-utf8',
      'snappy',
      'zstd',
    ];
    expect(readdirSync(parquetFolder).sort()).toEqual(tested.map((name) => `${name}.parquet`));
  });
});

/** A varint as Thrift's compact protocol writes a positive i64. */
function zigzag(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value * 2n; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}

/** The file with another number in its footer wherever it says `from`, in fields of 64-bit integers. */
function claiming(file: Buffer, from: bigint, to: bigint): Buffer {
  const footerBytes = file.readUInt32LE(file.length - 8);
  const begin = file.length - 8 - footerBytes;
  const field = (value: bigint) => Buffer.concat([Buffer.from([0x16]), zigzag(value)]).toString('latin1');
  const footer = file
    .subarray(begin, file.length - 8)
    .toString('latin1')
    .replaceAll(field(from), field(to));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(footer.length);
  return Buffer.concat([file.subarray(0, begin), Buffer.from(footer, 'latin1'), length, Buffer.from('PAR1')]);
}

describe('files that are to be refused', () => {
  it.each<[string, string, () => Promise<Buffer> | Buffer | string, RegExp]>([
    [
      'Parquet with LZ4',
      'a',
      () => parquet('lz4'),
      /compressed with LZ4.*one of UNCOMPRESSED, SNAPPY, GZIP, BROTLI, ZSTD/,
    ],
    ['Parquet of other columns', 'a', () => parquet('no-columns'), /columns \{text, label\} are none/],
    [
      'Parquet with text that is not UTF-8',
      'a',
      () => parquet('not-utf8'),
      /row 2: prompt is not valid UTF-8/,
    ],
    ['half a Parquet file', 'a', async () => (await parquet('snappy')).subarray(0, 2000), /Parquet/],
    ['Parquet without its footer', 'a', () => 'PAR1', /Parquet/],
    [
      'a footer larger than the file',
      'a',
      () => Buffer.from('PAR1\xff\xff\xff\x7fPAR1', 'latin1'),
      /Parquet/,
    ],
    ['a billion billion rows', 'a', async () => claiming(await parquet('none'), 3n, 2n ** 60n), /Parquet/],
    ['a trillion rows', 'a', async () => claiming(await parquet('none'), 3n, 2n ** 40n), /Parquet/],
    ['a ZIP archive', 'a.csv', () => 'PK\u0003\u0004', /ZIP archive or an Excel file/],
    ['UTF-16', 'a.csv', () => Buffer.from('\uFEFFprompt,completion\n', 'utf16le'), /UTF-16/],
    ['half a gzip file', 'a.gz', () => gzipSync('{"a":1}\n').subarray(0, 12), /gzip file is broken/],
    ['gzip twice', 'a.gz', () => gzipSync(gzipSync('{"a":1}\n')), /gzip twice/],
    ['an array that does not end', 'a.json', () => '[{"a":1}', /JSON array, but is none/],
    ['an array of other things', 'a.json', () => '[{"a":1}, 2]', /row 2: a row has to be a JSON object/],
    [
      'a cell of deep JSON',
      'a.csv',
      () => `messages,x\n${'['.repeat(20_000)}${']'.repeat(20_000)},y\n`,
      /row 2: nested too deeply/,
    ],
  ])('%s', async (_title, filename, content, message) => {
    const error = await refusal(filename, await content());
    expect([error.code, error.message]).toEqual(['dataset_invalid', expect.stringMatching(message)]);
  });

  it('gzip that becomes larger than a file may be, as soon as it does', async () => {
    const bomb = gzipSync(Buffer.alloc(2 ** 27), { level: constants.Z_BEST_COMPRESSION });
    expect(bomb.length).toBeLessThan(2 ** 18);
    expect(await refusal('a.gz', bomb)).toMatchObject({ code: 'body_too_large' });
    expect(await refusal('a.csv', `prompt\n${'x\n'.repeat(100)}`, { maxBytes: 500 })).toMatchObject({
      code: 'body_too_large',
    });
  });

  it('pages that take more memory than there may be', async () => {
    const error = await refusal('a.parquet', await parquet('bomb'), { memoryBytes: 2 ** 29 });
    expect(error).toMatchObject({
      code: 'dataset_invalid',
      message: 'reading the file takes too much memory',
    });
  });

  it('what takes too long', async () => {
    const csv = `prompt\n${'x\n'.repeat(100_000)}`;
    const error = await refusal('a.csv', csv, { timeoutMs: 1 });
    expect(error).toMatchObject({
      code: 'dataset_invalid',
      message: expect.stringMatching(/longer than 0.001 s/),
    });
  });

  it('whatever it is when the caller gives up', async () => {
    const signal = AbortSignal.timeout(1);
    await expect(prepare('a.csv', 'prompt\nx\n', { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
  });
});
