import { tinyDataset, tinyPreferences } from '@lowrank/testing';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { checkDataset } from './check';
import { LengthCollector, learntSpans, packLengths, unpackLengths } from './lengths';
import { temporaryFolder, tinyModel } from './test/model-folders';
import { measureDatasetFile } from './thread';
import { encodeDataset, readTokenFile } from './token-file';
import { loadChatTokenizer } from './tokenizer';

const maskOf = (text: string): Uint8Array => Uint8Array.from(text, Number);

it.each([
  ['', []],
  ['0000', []],
  ['1', [0, 1]],
  ['0011', [2, 4]],
  ['11001101', [0, 2, 4, 6, 7, 8]],
])('the spans of %s are %j', (mask, spans) => expect(learntSpans(maskOf(mask))).toEqual(spans));

describe('lengths as bytes', () => {
  const collector = new LengthCollector();
  for (const mask of ['0011', '0101', '']) {
    const lossMask = maskOf(mask);
    collector.add({ tokens: new Int32Array(lossMask.length), lossMask });
  }
  const lengths = collector.lengths();
  const plain = {
    tokens: Int32Array.of(4, 4, 0),
    starts: Int32Array.of(0, 2, 6, 6),
    spans: Int32Array.of(2, 4, 1, 2, 3, 4),
  };

  it('come back as they were', () => {
    expect(lengths).toEqual(plain);
    expect(unpackLengths(packLengths(lengths))).toEqual(plain);
    // From the middle of other bytes, where numbers are not aligned.
    const shifted = Buffer.concat([Buffer.alloc(3), packLengths(lengths)]).subarray(3);
    expect(unpackLengths(shifted)).toEqual(plain);
  });

  it.each([
    ['too few', packLengths(lengths).subarray(0, -4)],
    ['too many', Buffer.concat([packLengths(lengths), Buffer.alloc(4)])],
    ['none', Buffer.alloc(0)],
    ['others', Buffer.alloc(64)],
  ])('are refused when they are %s', (_title, bytes) => expect(unpackLengths(bytes)).toBeNull());
});

describe('lengths of a file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    await tinyModel(join(folder, 'model'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each([
    ['chat', tinyDataset(30)],
    ['preference', tinyPreferences(10)],
  ] as const)('of format %s are those of its tokens, and a check counts the same', async (format, text) => {
    const model = join(folder, 'model');
    const file = join(folder, `${format}.jsonl`);
    await writeFile(file, text);
    const tokenizer = await loadChatTokenizer(model);
    const measured = await measureDatasetFile(file, { tokenizerDir: model, format, maxLineBytes: 10_000 });
    const target = join(folder, `${format}.tok`);
    await encodeDataset(file, target, tokenizer, { format, maxLineBytes: 10_000 });
    const rows = (await readTokenFile(target)) ?? [];
    expect(rows.length).toBe(format === 'chat' ? 30 : 20);
    expect([...measured.tokens]).toEqual(rows.map(({ tokens }) => tokens.length));
    rows.forEach(({ lossMask }, i) =>
      expect([...measured.spans.subarray(measured.starts[i], measured.starts[i + 1])]).toEqual(
        learntSpans(lossMask),
      ),
    );
    const check = await checkDataset(Readable.from([Buffer.from(text)]), { maxLineBytes: 10_000, tokenizer });
    expect(check.lengths).toEqual(measured);
  });
});
