import { codeOf, tinyDataset } from '@lowrank/testing';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeChat } from './encode';
import { parseRow } from './formats';
import { temporaryFolder, tinyModel, withTemplate } from './test/model-folders';
import { encodeDataset, readTokenFile } from './token-file';
import { type ChatTokenizer, loadChatTokenizer } from './tokenizer';

const options = { format: 'chat', maxLineBytes: 10_000 } as const;

describe('token file', () => {
  let folder: string;
  let source: string;
  let target: string;
  let tokenizer: ChatTokenizer;
  beforeAll(async () => {
    folder = await temporaryFolder();
    tokenizer = await loadChatTokenizer(await tinyModel(join(folder, 'model')));
  });
  beforeEach(async () => {
    await rm(join(folder, 'cache'), { recursive: true, force: true });
    source = join(folder, 'data.jsonl');
    target = join(folder, 'cache/tokens/a.tok');
    await writeFile(source, tinyDataset(7));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const encode = (using = tokenizer) => encodeDataset(source, target, using, options);
  const written = () => readdir(join(folder, 'cache/tokens'));

  it('gives back tokens and loss masks of every row, in order', async () => {
    await writeFile(source, `\uFEFF\n${tinyDataset(5)}\r\n${tinyDataset(40).trimEnd()}`);
    await encode();
    const expected = `${tinyDataset(5)}${tinyDataset(40)}`.trimEnd().split('\n');
    const rows = await readTokenFile(target);
    expect(rows).toEqual(expected.map((line) => encodeChat(parseRow(JSON.parse(line), 'chat'), tokenizer)));
    expect(await written()).toEqual(['a.tok']);
  });

  it('keeps rows of every length apart', async () => {
    const answers = Array.from({ length: 9 }, (_, i) => 'x'.repeat(i + 1));
    const row = (completion: string) => JSON.stringify({ prompt: 'p', completion });
    await writeFile(source, answers.map(row).join('\n'));
    await encodeDataset(source, target, tokenizer, { ...options, format: 'prompt-completion' });
    const rows = (await readTokenFile(target)) ?? [];
    const learnt = rows.map(({ tokens, lossMask }) =>
      tokenizer.decode([...tokens].filter((_, i) => lossMask[i])),
    );
    expect(learnt).toEqual(answers);
  });

  it('writes more than fits its buffer', async () => {
    const bytewise: ChatTokenizer = {
      ...tokenizer,
      encode: (text) => [...Buffer.from(text)],
      byteLengths: () => null,
    };
    const content = 'x'.repeat(500_000);
    const long = JSON.stringify({
      messages: [
        { role: 'user', content },
        { role: 'assistant', content: 'b' },
      ],
    });
    const lines = [long, tinyDataset(1).trimEnd(), long, tinyDataset(2).trimEnd()].join('\n');
    await writeFile(source, lines);
    await encodeDataset(source, target, bytewise, { ...options, maxLineBytes: 1 << 20 });
    const rows = (await readTokenFile(target)) ?? [];
    const text = rows.map(({ tokens }) => Buffer.from(tokens).toString());
    const expected = lines
      .split('\n')
      .map((line) => tokenizer.render(parseRow(JSON.parse(line), 'chat').messages));
    expect(text.map((each, i) => each === expected[i])).toEqual([true, true, true, true, true]);
  });

  it('holds no row of a file without any', async () => {
    await writeFile(source, '\n');
    await encode();
    expect(await readTokenFile(target)).toEqual([]);
  });

  it('is null where there is none, and passes on other errors', async () => {
    expect(await readTokenFile(target)).toBeNull();
    await expect(readTokenFile(folder)).rejects.toThrow(/EISDIR/);
  });

  describe('damaged', () => {
    let good: Buffer;
    const readDamaged = async (damage: (bytes: Buffer) => Buffer) => {
      await writeFile(target, damage(Buffer.from(good)));
      return readTokenFile(target);
    };
    beforeEach(async () => {
      await encode();
      good = await readFile(target);
    });

    it('is refused when cut off anywhere or with bytes added', async () => {
      expect(await readDamaged((bytes) => bytes)).toHaveLength(7);
      for (let length = 0; length < good.length; length += 5)
        expect(await readDamaged((bytes) => bytes.subarray(0, length))).toBeNull();
      expect(await readDamaged((bytes) => Buffer.concat([bytes, Buffer.alloc(4)]))).toBeNull();
    });

    it('is refused when not yet finished', async () => {
      expect(await readDamaged((bytes) => bytes.fill(0, 0, 24))).toBeNull();
    });

    it.each([
      ['one row fewer', 8, 6],
      ['one row more', 8, 8],
      ['very many rows', 8, 2 ** 32 - 1],
      ['no rows', 8, 0],
      ['a first row that is longer', 24, 1000],
      ['a first row that is longer than the file', 24, 2 ** 32 - 1],
      ['a first row that is shorter', 24, 8],
    ])('is refused when its numbers say %s', async (_case, at, value) => {
      const damage = (bytes: Buffer) => {
        bytes.writeUInt32LE(value, at);
        return bytes;
      };
      expect(await readDamaged(damage)).toBeNull();
    });
  });

  it.each([
    ['no JSON', '{', undefined, /^line 8: not JSON/],
    ['another format', '{"prompt": "a", "completion": "b"}', 'messages', /^line 8: messages/],
    ['a long line', 'x'.repeat(10_001), undefined, /^line 8: longer than 10000 bytes/],
  ])('names the first wrong line and leaves nothing behind: %s', async (_case, line, path, message) => {
    await writeFile(source, `${tinyDataset(7)}${line}\n{`);
    const encoding = encode();
    expect(await codeOf(encoding)).toBe('dataset_invalid');
    await expect(encoding).rejects.toMatchObject({
      message: expect.stringMatching(message),
      details: [{ line: 8, ...(path ? { path } : {}) }],
    });
    expect(await written()).toEqual([]);
  });

  it('names the line that the template refuses', async () => {
    const strict = withTemplate(
      tokenizer,
      '{% for m in messages %}{% if loop.index > 2 %}{{ raise_exception("too many turns") }}{% endif %}{{ m.content }}{% endfor %}',
    );
    const turn = (role: string) => ({ role, content: 'a' });
    const row = { messages: [turn('user'), turn('assistant'), turn('user'), turn('assistant')] };
    await writeFile(source, `${tinyDataset(2)}${JSON.stringify(row)}`);
    const encoding = encode(strict);
    expect(await codeOf(encoding)).toBe('dataset_invalid');
    await expect(encoding).rejects.toThrow(/^line 3: .*too many turns/);
  });

  it('keeps the file that was there when it fails', async () => {
    await mkdir(join(folder, 'cache/tokens'), { recursive: true });
    await writeFile(target, 'before');
    await writeFile(source, '{');
    await codeOf(encode());
    expect(await readFile(target, 'utf8')).toBe('before');
    await rm(source);
    await expect(encode()).rejects.toThrow(/ENOENT/);
    expect(await written()).toEqual(['a.tok']);
  });
});
