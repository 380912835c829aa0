import { safetensorsBytes, tinyTensors } from '@lowrank/testing';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader, SafetensorsError } from './safetensors';
import { temporaryFolder } from './test/model-folders';

const fixture = join(__dirname, '../../kernels/test/fixtures/llama/model-00001-of-00003.safetensors');

describe('readSafetensorsHeader', () => {
  let folder: string;
  beforeAll(async () => void (folder = await temporaryFolder()));
  afterAll(() => rm(folder, { recursive: true }));

  const read = async (bytes: Buffer) => {
    const file = join(folder, 'a.safetensors');
    await writeFile(file, bytes);
    return readSafetensorsHeader(file, 'shard 7');
  };
  /** A file of any header text and `data` bytes; `length` is what the prefix claims. */
  const fileOf = (header: string, data = 0, length = BigInt(Buffer.byteLength(header))): Buffer => {
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(length);
    return Buffer.concat([prefix, Buffer.from(header), Buffer.alloc(data)]);
  };
  const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = 'F32') => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  });
  const refused = async (bytes: Buffer): Promise<string> => {
    const error = await read(bytes).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SafetensorsError);
    expect((error as Error).message).toMatch(/^shard 7/);
    return (error as Error).message;
  };

  it('gives name, dtype, shape and place of every tensor', async () => {
    const header = JSON.stringify({
      __metadata__: { format: 'pt' },
      b: entry(8, 16, [2, 2], 'BF16'),
      a: entry(0, 8, [2]),
      scalar: entry(16, 20, []),
      empty: entry(8, 8, [0, 3]),
    });
    const at = 8 + header.length;
    expect(await read(fileOf(header, 20))).toEqual([
      { name: 'b', dtype: 'BF16', shape: [2, 2], offset: at + 8, bytes: 8, elements: 4 },
      { name: 'a', dtype: 'F32', shape: [2], offset: at, bytes: 8, elements: 2 },
      { name: 'scalar', dtype: 'F32', shape: [], offset: at + 16, bytes: 4, elements: 1 },
      { name: 'empty', dtype: 'F32', shape: [0, 3], offset: at + 8, bytes: 0, elements: 0 },
    ]);
  });

  it('finds the values where it says they are', async () => {
    const tensors = tinyTensors();
    const bytes = safetensorsBytes(tensors);
    const entries = await read(bytes);
    expect(entries.map(({ name }) => name)).toEqual(Object.keys(tensors));
    for (const { name, shape, offset, bytes: length } of entries) {
      expect(shape).toEqual(tensors[name]?.shape);
      const values = Buffer.from(tensors[name]?.values.buffer as ArrayBuffer);
      expect(bytes.subarray(offset, offset + length).equals(values)).toBe(true);
    }
  });

  it('reads a file that transformers wrote', async () => {
    const entries = await readSafetensorsHeader(fixture, 'fixture');
    expect(entries.length).toBeGreaterThan(0);
    for (const { name, dtype } of entries)
      expect([name, dtype]).toEqual([expect.stringMatching(/weight$/), 'BF16']);
  });

  it('reads a file without tensors, and a header padded with spaces', async () => {
    expect(await read(fileOf('{}'))).toEqual([]);
    expect(await read(fileOf(`${JSON.stringify({ a: entry(0, 4) })}     `, 4))).toHaveLength(1);
  });

  it('refuses a file that is cut off anywhere', async () => {
    const whole = fileOf(JSON.stringify({ a: entry(0, 8), b: entry(8, 16) }), 16);
    expect(await read(whole)).toHaveLength(2);
    for (let length = 0; length < whole.length; length += 1) await refused(whole.subarray(0, length));
  });

  it.each([
    ['a header larger than the file', '{}', 3n],
    ['a header of almost 2^64 bytes', '{}', 2n ** 64n - 1n],
    ['a header over the limit', `{}${' '.repeat(16 << 20)}`, undefined],
    ['an empty header', '', undefined],
    ['a header that is a list', '[]', undefined],
    ['a header that begins with a space', ' {}', undefined],
    ['a header that is not JSON', '{"a": }', undefined],
    ['a pickle in a zip', 'PK\u0003\u0004', undefined],
  ])('refuses %s', async (_case, header, length) => void (await refused(fileOf(header, 0, length))));

  it.each<[string, string, RegExp]>([
    ['an entry that is a list', `{"a": [${'[],'.repeat(400_000)}[]]}`, /tensor 'a' is not an object/],
    ['a long entry', `{"a": {"shape": [${'1,'.repeat(5000)}1]}}`, /tensor 'a' has more than 2048 bytes/],
    ['a long name', `{"${'a'.repeat(5000)}": {}}`, /a name has more than 4096 bytes/],
    [
      'a name twice',
      `{"a": ${JSON.stringify(entry(0, 4))}, "a": ${JSON.stringify(entry(4, 8))}}`,
      /two entries 'a'/,
    ],
    ['metadata that is no text', '{"__metadata__": {"a": 1}}', /not JSON/],
    ['metadata that is no object', '{"__metadata__": "a"}', /not JSON/],
    ['something behind the end', '{} {}', /not JSON/],
    ['a comma too many', '{"__metadata__": {},}', /not JSON/],
    ['an entry without an end', '{"a": {"shape": "}', /not JSON/],
    ['an escape that is none', '{"__metadata__": {"a": "\\x"}}', /not JSON/],
  ])('refuses %s', async (_case, header, message) =>
    expect(await refused(fileOf(header, 8))).toMatch(message),
  );

  it('refuses very many entries', async () => {
    const empty = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    const header = Array.from({ length: 100_001 }, (_, i) => `"${i}":${empty}`).join();
    expect(await refused(fileOf(`{${header}}`))).toMatch(/too many entries/);
  });

  it('passes over metadata of any text', async () => {
    const text = '{"bytes": [1, 2], "quote": "\\"", "end": "}"}';
    const header = JSON.stringify({ __metadata__: { config: text, ü: '' }, 'a"}': entry(0, 4) }, null, 1);
    expect(await read(fileOf(header, 4))).toMatchObject([{ name: 'a"}', elements: 1 }]);
  });

  /** Headers of 16 MiB that would be hundreds of megabytes if they were parsed whole. */
  const hostile: [string, () => string][] = [
    ['one long name', () => `{"${'a'.repeat(2 ** 24 - 10)}":0}`],
    ['one long shape', () => `{"a":{"shape":[${'1,'.repeat(2 ** 23 - 20)}1]}}`],
    ['a million entries', () => `{${Array.from({ length: 1_200_000 }, (_, i) => `"k${i}":0`).join()}}`],
    [
      'a million of metadata',
      () => `{"__metadata__":{${Array.from({ length: 1_000_000 }, (_, i) => `"k${i}":""`).join()}},"a":{}}`,
    ],
    [
      'as many entries as there may be, and a wrong one',
      () => {
        const good = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
        return `{${Array.from({ length: 32_000 }, (_, i) => `"k${i}":${good}`).join()},"a":{}}`;
      },
    ],
  ];
  it.each(hostile)('refuses %s within 64 MB', async (_title, header) => {
    const file = join(folder, 'hostile.safetensors');
    await writeFile(file, fileOf(header()));
    const child = fork(join(__dirname, 'test/read-header.ts'), [file]);
    const [{ message, bytes }] = (await once(child, 'message')) as [{ message: string; bytes: number }];
    expect(message).toMatch(/^hostile/);
    expect(bytes).toBeLessThan(64 * 2 ** 20);
  });

  it.each<[string, object, number, RegExp]>([
    ['an overlap', { a: entry(0, 8), b: entry(4, 12) }, 12, /overlap at data byte 4/],
    ['two tensors in one place', { a: entry(0, 8), b: entry(0, 8) }, 8, /overlap at data byte 0/],
    ['one inside another', { a: entry(0, 16), b: entry(4, 8) }, 16, /overlap/],
    ['a hole', { a: entry(0, 4), b: entry(8, 12) }, 12, /hole at data byte 4/],
    ['a hole at the start', { a: entry(4, 8) }, 8, /hole at data byte 0/],
    ['bytes after the last tensor', { a: entry(0, 4) }, 7, /3 bytes after/],
    ['bytes and no tensors', {}, 5, /5 bytes after/],
    ['data past the end', { a: entry(0, 8) }, 4, /outside the 4 data bytes/],
    ['an end before its begin', { a: entry(8, 4, [1]) }, 8, /outside/],
    ['a shape that needs more bytes', { a: entry(0, 8, [3]) }, 8, /need 12 bytes, data offsets give 8/],
    ['a dtype that needs more bytes', { a: entry(0, 8, [2], 'F64') }, 8, /need 16 bytes/],
    ['an unknown dtype', { a: entry(0, 8, [2], 'F128') }, 8, /tensor 'a': unknown dtype "F128"/],
    ['a dtype named like a member of objects', { a: entry(0, 8, [2], 'constructor') }, 8, /unknown dtype/],
    ['no dtype', { a: { shape: [2], data_offsets: [0, 8] } }, 8, /unknown dtype/],
    ['a shape of text', { a: { ...entry(0, 8), shape: '2' } }, 8, /shape is not/],
    ['a negative size', { a: entry(0, 8, [-2]) }, 8, /shape is not/],
    ['a broken size', { a: entry(0, 8, [0.5, 4]) }, 8, /shape is not/],
    ['nine dimensions', { a: entry(0, 4, [1, 1, 1, 1, 1, 1, 1, 1, 1]) }, 4, /shape is not/],
    ['a size beyond whole numbers', { a: entry(0, 8, [2 ** 30, 2 ** 30]) }, 8, /too large/],
    ['one offset', { a: { ...entry(0, 8), data_offsets: [0] } }, 8, /data_offsets are not/],
    ['negative offsets', { a: { ...entry(0, 8), data_offsets: [-8, 0] } }, 8, /data_offsets are not/],
    ['an entry that is null', { a: null }, 0, /tensor 'a'/],
    ['an entry that is text', { a: 'F32' }, 0, /tensor 'a'/],
  ])('refuses %s', async (_case, header, data, message) => {
    expect(await refused(fileOf(JSON.stringify(header), data))).toMatch(message);
  });

  it('passes on that there is no file', async () => {
    await expect(readSafetensorsHeader(join(folder, 'none'), 'none')).rejects.toThrow(/ENOENT/);
  });
});
