import { LowrankError } from '@lowrank/contracts';
import { tinyDataset } from '@lowrank/testing';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { assertDatasetValid, checkDataset, type CheckOptions, type DatasetCheck } from './check';
import { encodeChat } from './encode';
import { parseRow } from './formats';
import { temporaryFolder, tinyModel, withTemplate } from './test/model-folders';
import { type ChatTokenizer, loadChatTokenizer } from './tokenizer';

const check = (text: string, options: Partial<CheckOptions> = {}): Promise<DatasetCheck> =>
  checkDataset(Readable.from([Buffer.from(text)]), { maxLineBytes: 10_000, ...options });

const chat = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}';
const pair = '{"prompt": "a", "completion": "b"}';

describe('checkDataset', () => {
  it.each([
    [chat, 'chat'],
    [pair, 'prompt-completion'],
    ['{"instruction": "a", "output": "b"}', 'alpaca'],
  ])('knows the format of %s', async (row, format) => {
    const counts = { rows: 2, errorCount: 0, errors: [], tokens: null, lossTokens: null, lengths: null };
    expect(await check(`${row}\n\n${row}`)).toEqual({ format, ...counts });
  });

  it('says line and field of everything wrong, and counts what is good', async () => {
    const wrong = '{"messages": [{"role": "human", "content": "a"}]}';
    const result = await check(`\n${chat}\n{"messages"\n\n${wrong}\n${chat}\n[1]\n${'x'.repeat(10_001)}\n`);
    expect(result).toMatchObject({ format: 'chat', rows: 2, errorCount: 4 });
    expect(result.errors).toEqual([
      { line: 3, message: expect.stringMatching(/^not JSON/) },
      { line: 5, path: 'messages.0.role', message: expect.any(String) },
      { line: 7, message: 'a row has to be a JSON object' },
      { line: 8, message: 'longer than 10000 bytes' },
    ]);
  });

  it('holds every row to the format of the first known one', async () => {
    const result = await check(`{"x": 1}\n${chat}\n${pair}\n`);
    expect(result).toMatchObject({ format: 'chat', rows: 1 });
    expect(result.errors.map(({ line, path }) => [line, path])).toEqual([
      [1, undefined],
      [3, 'messages'],
    ]);
  });

  it('holds every row to the format that is asked for', async () => {
    const result = await check(`${chat}\n${pair}\n`, { format: 'prompt-completion' });
    expect(result).toMatchObject({ format: 'prompt-completion', rows: 1, errorCount: 1 });
    expect(result.errors[0]).toMatchObject({ line: 1, path: 'prompt' });
  });

  it('keeps 20 errors and counts all', async () => {
    const result = await check('{}\n'.repeat(50));
    expect(result).toMatchObject({ format: null, rows: 0, errorCount: 50 });
    expect(result.errors.map(({ line }) => line)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  describe('with a tokenizer', () => {
    let folder: string;
    let tokenizer: ChatTokenizer;
    beforeAll(async () => {
      folder = await temporaryFolder();
      tokenizer = await loadChatTokenizer(await tinyModel(folder));
    });
    afterAll(() => rm(folder, { recursive: true }));

    it('counts tokens and those to learn', async () => {
      const { lossMask } = encodeChat(parseRow(JSON.parse(chat), 'chat'), tokenizer);
      // <|bos|>, and for each turn <|im_start|>, role, line break, one letter, <|im_end|>, line break.
      expect(lossMask).toHaveLength(1 + (1 + 4 + 1 + 1 + 1 + 1) + (1 + 9 + 1 + 1 + 1 + 1));
      expect(await check(`${chat}\n${chat}\n{}`, { tokenizer })).toMatchObject({
        rows: 2,
        tokens: 2 * lossMask.length,
        lossTokens: 2 * 2,
      });
      expect(await check(tinyDataset(10), { tokenizer })).toMatchObject({ rows: 10, errorCount: 0 });
    });

    it('reports a row that the template refuses', async () => {
      const strict = withTemplate(
        tokenizer,
        "{% for m in messages %}{% if m.content == 'c' %}{{ raise_exception('no c') }}{% endif %}{{ m.content }}{% endfor %}",
      );
      const result = await check(`${pair}\n{"prompt": "c", "completion": "b"}\n`, { tokenizer: strict });
      expect(result).toMatchObject({ rows: 1, errorCount: 1 });
      expect(result.errors).toEqual([{ line: 2, message: expect.stringContaining('no c') }]);
    });
  });
});

describe('assertDatasetValid', () => {
  const refusal = async (text: string): Promise<LowrankError> => {
    const result = await check(text);
    try {
      assertDatasetValid(result);
    } catch (error) {
      return error as LowrankError;
    }
    throw new Error('expected a LowrankError');
  };

  it('passes a good file', async () => {
    const result = await check(chat);
    expect(() => assertDatasetValid(result)).not.toThrow();
  });

  it('throws dataset_invalid with the first lines', async () => {
    const error = await refusal(`${chat}\n{\n[]\n`);
    expect(error).toBeInstanceOf(LowrankError);
    expect(error.code).toBe('dataset_invalid');
    expect(error.message).toMatch(/^2 of the lines cannot be used; line 2: not JSON/);
    expect(error.details?.map(({ line }) => line)).toEqual([2, 3]);
  });

  it.each(['', '\n \n', '\uFEFF'])('throws dataset_empty for %j', async (text) =>
    expect((await refusal(text)).code).toBe('dataset_empty'),
  );
});
