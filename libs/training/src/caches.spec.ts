import { loadChatTokenizer, type EncodedRow } from '@lowrank/datasets';
import { openKernels, type Kernels } from '@lowrank/kernels';
import { codeOf, makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  ensureQuantizedBase,
  loadTokens,
  modelKey,
  openQuantizedBase,
  quantizedBasePath,
  type StoredBase,
  type TokenCacheOptions,
} from './caches';
import { sha256 } from './files';

let folder: string;
let cacheDir: string;
let kernels: Kernels;
let tokenOptions: TokenCacheOptions;
const model = (): string => join(folder, 'model');
const stored = (key = 'key'): StoredBase => ({ key, storage: makeRecipe().base, cacheDir });
const base = (): string => quantizedBasePath(stored());
const listed = (name: string): Promise<string[]> => readdir(join(cacheDir, name));

const fetchWeights = jest.fn(() => Promise.resolve(model()));
async function openOnce(): Promise<void> {
  (await openQuantizedBase(kernels, fetchWeights, stored())).close();
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-caches-'));
  await writeTinyModel(model());
  await writeFile(join(folder, 'data.jsonl'), tinyDataset(5));
  kernels = openKernels({ threads: 1 });
  const { fingerprint } = await loadChatTokenizer(model());
  tokenOptions = {
    file: join(folder, 'data.jsonl'),
    sha256: sha256(await readFile(join(folder, 'data.jsonl'))),
    format: 'chat',
    tokenizerDir: model(),
    fingerprint,
    maxLineBytes: 1 << 20,
    cacheDir: '',
  };
});
beforeEach(async () => {
  fetchWeights.mockClear();
  cacheDir = await mkdtemp(join(folder, 'cache-'));
  tokenOptions = { ...tokenOptions, cacheDir };
});
afterAll(async () => {
  kernels.close();
  await rm(folder, { recursive: true });
});

describe('the key of a model', () => {
  const files = [
    { path: 'config.json', sha256: 'a' },
    { path: 'model.safetensors', sha256: 'b' },
  ];

  it('does not depend on the order of its files, but on all else', () => {
    expect(modelKey([...files].reverse())).toBe(modelKey(files));
    const others = [
      files.slice(1),
      files.map((file, i) => ({ ...file, sha256: 'ba'[i] as string })),
      files.map((file) => ({ ...file, path: `x${file.path}` })),
    ];
    expect(new Set([files, ...others].map(modelKey)).size).toBe(4);
  });
});

describe('the quantized base', () => {
  it('is written once, and opened later without the weights', async () => {
    await openOnce();
    const { mtimeMs, ino } = await stat(base());
    await openOnce();
    expect(fetchWeights).toHaveBeenCalledTimes(1);
    expect(await stat(base())).toMatchObject({ mtimeMs, ino });
    expect(await ensureQuantizedBase(kernels, '/nowhere', stored())).toBe(base());
    expect(await listed('quantized')).toHaveLength(1);
  });

  it('of another model is another file', async () => {
    await openOnce();
    (await openQuantizedBase(kernels, fetchWeights, stored('other'))).close();
    expect(fetchWeights).toHaveBeenCalledTimes(2);
    expect(await listed('quantized')).toHaveLength(2);
  });

  it.each<[string, (bytes: Buffer) => Promise<void>]>([
    ['cut off', (bytes) => truncate(base(), bytes.length - 1)],
    ['empty', () => truncate(base(), 0)],
    ['garbled at its head', (bytes) => writeFile(base(), bytes.fill(0xa5, 9, 13))],
    ['something else', () => writeFile(base(), '<html>not found</html>'.repeat(1000))],
  ])('that is %s is written again', async (_title, damage) => {
    await openOnce();
    const whole = await readFile(base());
    await damage(Buffer.from(whole));
    await openOnce();
    expect(fetchWeights).toHaveBeenCalledTimes(2);
    expect((await readFile(base())).equals(whole)).toBe(true);
  });

  it('is not written by a call that is stopped or has no weights', async () => {
    const signal = AbortSignal.abort('drain');
    await expect(openQuantizedBase(kernels, fetchWeights, stored(), { signal })).rejects.toMatchObject({
      status: 'cancelled',
    });
    await expect(
      openQuantizedBase(kernels, () => Promise.reject(new TypeError('no store')), stored()),
    ).rejects.toThrow('no store');
    expect(await listed('quantized')).toEqual([]);
    await openOnce();
  });
});

describe('tokens', () => {
  let rows: EncodedRow[];
  let whole: Buffer;
  let path: string;
  /** Starts no thread: an aborted signal makes it a question of the cache alone. */
  const cached = (changes: Partial<TokenCacheOptions> = {}) =>
    loadTokens({ ...tokenOptions, ...changes, signal: AbortSignal.abort('not cached') });

  beforeAll(async () => {
    const first = await mkdtemp(join(folder, 'first-'));
    rows = await loadTokens({ ...tokenOptions, cacheDir: first });
    const [name] = await readdir(join(first, 'tokens'));
    path = join('tokens', name as string);
    whole = await readFile(join(first, path));
  });
  beforeEach(async () => {
    await mkdir(join(cacheDir, 'tokens'));
    await writeFile(join(cacheDir, path), whole);
  });

  it('are those of every row, and read from the cache later', async () => {
    const tokenizer = await loadChatTokenizer(model());
    const answers = rows.map(({ tokens, lossMask }) =>
      tokenizer.decode([...tokens.filter((_, t) => lossMask[t] === 1)]),
    );
    expect(answers).toEqual(['It is 1.', 'It is 11.', 'It is 11.', 'It is 1.', 'It is 11.']);
    expect(await cached({ file: '/nowhere', tokenizerDir: '/nowhere' })).toEqual(rows);
  });

  it.each([
    ['dataset', { sha256: 'f'.repeat(64) }],
    ['tokenizer', { fingerprint: 'f'.repeat(64) }],
    ['format', { format: 'alpaca' as const }],
  ])('of another %s are not taken for these', async (_title, changes) => {
    await expect(cached(changes)).rejects.toBe('not cached');
  });

  it.each<[string, (file: string, bytes: Buffer) => Promise<void>]>([
    ['cut off', (file, bytes) => truncate(file, bytes.length - 1)],
    ['empty', (file) => truncate(file, 0)],
    ['something else', (file, bytes) => writeFile(file, bytes.fill(0xa5, 0, 8))],
  ])('that are %s do not count', async (_title, damage) => {
    await damage(join(cacheDir, path), Buffer.from(whole));
    await expect(cached()).rejects.toBe('not cached');
  });

  it('that do not count are encoded again', async () => {
    await truncate(join(cacheDir, path), whole.length - 1);
    expect(await loadTokens(tokenOptions)).toEqual(rows);
    expect((await readFile(join(cacheDir, path))).equals(whole)).toBe(true);
  });

  it('of a bad line are refused, and nothing is cached', async () => {
    const file = join(folder, 'bad.jsonl');
    await writeFile(file, `${tinyDataset(2)}{"messages": "none"}\n`);
    const bad = loadTokens({ ...tokenOptions, file, sha256: 'b'.repeat(64) });
    await expect(bad).rejects.toMatchObject({ message: expect.stringMatching(/^line 3: /) });
    expect(await codeOf(bad)).toBe('dataset_invalid');
    expect(await listed('tokens')).toHaveLength(1);
  });

  it('are left when the signal comes', async () => {
    const stop = new AbortController();
    const loading = loadTokens({ ...tokenOptions, sha256: 'c'.repeat(64), signal: stop.signal });
    setImmediate(() => stop.abort('drain'));
    await expect(loading).rejects.toBe('drain');
  });
});

describe('processes that fill the caches at the same time', () => {
  it('end with one file each, the one that every process writes', async () => {
    const script = join(__dirname, '../test/fill-caches.ts');
    const fill = () =>
      promisify(execFile)(process.execPath, [
        script,
        JSON.stringify({ stored: stored(), tokens: tokenOptions }),
      ]);
    const ended = await Promise.all([fill(), fill()]);
    expect(ended.map(({ stdout }) => stdout)).toEqual(Array(2).fill('2 layers, 5 rows'));
    for (const name of ['quantized', 'tokens']) expect(await listed(name)).toHaveLength(1);
    const alone = await mkdtemp(join(folder, 'alone-'));
    const file = await ensureQuantizedBase(kernels, model(), { ...stored(), cacheDir: alone });
    expect((await readFile(base())).equals(await readFile(file))).toBe(true);
    expect(await loadTokens({ ...tokenOptions, file: '/nowhere' })).toHaveLength(5);
  });
});
