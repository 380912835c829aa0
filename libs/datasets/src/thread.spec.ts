import { LowrankError } from '@lowrank/contracts';
import { codeOf, tinyDataset } from '@lowrank/testing';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkDataset } from './check';
import { change, temporaryFolder, tinyModel } from './test/model-folders';
import { checkDatasetFile, encodeDatasetFile, runInThread } from './thread';
import { readTokenFile } from './token-file';
import { loadChatTokenizer } from './tokenizer';

const maxLineBytes = 10_000;

describe('thread', () => {
  let folder: string;
  let model: string;
  let data: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    model = await tinyModel(join(folder, 'model'));
    data = join(folder, 'data.jsonl');
    await writeFile(data, tinyDataset(20));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('checks a file as the check itself does', async () => {
    await writeFile(data, `${tinyDataset(5)}{"messages": []}\n{\n`);
    const tokenizer = await loadChatTokenizer(model);
    const direct = createReadStream(data);
    expect(await checkDatasetFile(data, { maxLineBytes, tokenizerDir: model })).toEqual(
      await checkDataset(direct, { maxLineBytes, tokenizer }),
    );
    expect(await checkDatasetFile(data, { maxLineBytes, format: 'alpaca' })).toMatchObject({
      format: 'alpaca',
      rows: 0,
      tokens: null,
    });
  });

  it('encodes a file', async () => {
    const target = join(folder, 'a.tok');
    await encodeDatasetFile(data, target, { tokenizerDir: model, format: 'chat', maxLineBytes });
    expect(await readTokenFile(target)).toHaveLength(20);
  });

  it('tries a tokenizer', async () => {
    const { templateSha256 } = await loadChatTokenizer(model);
    expect(await runInThread({ task: 'tokenizer', folder: model })).toEqual({
      vocabSize: 259,
      templateSha256,
    });
  });

  it('keeps code, message and details of errors', async () => {
    await writeFile(data, `${tinyDataset(2)}{"messages": []}`);
    const options = { tokenizerDir: model, format: 'chat', maxLineBytes } as const;
    const error = await encodeDatasetFile(data, join(folder, 'a.tok'), options).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(LowrankError);
    expect(error).toMatchObject({
      code: 'dataset_invalid',
      status: 422,
      message: 'line 3: messages is empty',
      details: [{ line: 3, path: 'messages', message: 'messages is empty' }],
    });
    await rm(join(model, 'tokenizer.json'));
    expect(await codeOf(checkDatasetFile(data, { maxLineBytes, tokenizerDir: model }))).toBe(
      'base_model_invalid',
    );
  });

  it('keeps the message of errors without code', async () => {
    const error = await checkDatasetFile(join(folder, 'none'), { maxLineBytes }).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).not.toBeInstanceOf(LowrankError);
    expect((error as Error).message).toMatch(/ENOENT.*none/);
  });

  /** A template that is not done before its time limit. */
  const slowTemplate = () =>
    change(model, {
      'chat_template.jinja':
        '{% for i in range(9999) %}{% for j in range(9999) %}{{ j }}{% endfor %}{% endfor %}',
    });

  it('leaves the caller free to work', async () => {
    await slowTemplate();
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 10);
    expect(await codeOf(runInThread({ task: 'tokenizer', folder: model }))).toBe('base_model_invalid');
    clearInterval(timer);
    // The template runs for a second; a few turns would show already that this thread was not held up.
    expect(turns).toBeGreaterThan(10);
  });

  it('does not begin when cancelled before', async () => {
    const signal = AbortSignal.abort(new Error('never mind'));
    const options = { tokenizerDir: model, format: 'chat', maxLineBytes, signal } as const;
    await expect(encodeDatasetFile(data, join(folder, 'a.tok'), options)).rejects.toThrow('never mind');
    expect(await readdir(folder)).toEqual(['data.jsonl', 'model']);
  });

  it('ends with the reason when cancelled, in the middle of a computation', async () => {
    await slowTemplate();
    await writeFile(data, tinyDataset(1000));
    const stop = new AbortController();
    // 1,000 rows of a second each.
    const checking = checkDatasetFile(data, { maxLineBytes, tokenizerDir: model, signal: stop.signal });
    void sleep(300).then(() => stop.abort(new Error('cancelled by Ann')));
    await expect(checking).rejects.toThrow('cancelled by Ann');
  });

  it('ends when reading takes longer than it may', async () => {
    await slowTemplate();
    await writeFile(data, tinyDataset(1000));
    const checking = checkDatasetFile(data, { maxLineBytes, tokenizerDir: model, timeoutMs: 300 });
    await expect(checking).rejects.toMatchObject({
      ...{ code: 'dataset_invalid', message: 'reading the file takes longer than 0.3 s' },
    });
  });

  it('is not disturbed by being cancelled after its end', async () => {
    const stop = new AbortController();
    const result = await checkDatasetFile(data, { maxLineBytes, signal: stop.signal });
    stop.abort();
    expect(result.rows).toBe(20);
  });

  it('gives the thread no environment but how to load sources', async () => {
    const preload = join(folder, 'preload.cjs');
    const seen = join(folder, 'seen.json');
    await writeFile(
      preload,
      `require('fs').writeFileSync(${JSON.stringify(seen)}, JSON.stringify(process.env));`,
    );
    const { NODE_OPTIONS } = process.env;
    process.env['NODE_OPTIONS'] = `${NODE_OPTIONS} --require "${preload}"`;
    try {
      await checkDatasetFile(data, { maxLineBytes });
    } finally {
      process.env['NODE_OPTIONS'] = NODE_OPTIONS;
    }
    expect(Object.keys(JSON.parse(await readFile(seen, 'utf8')) as object)).toEqual(['NODE_OPTIONS']);
  });
});
