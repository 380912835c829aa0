/** What a preflight says of a job's data is what its trainer does with them, to the token. */
import { type DatasetFormat, type RecipeInput } from '@lowrank/contracts';
import { measureDatasetFile } from '@lowrank/datasets';
import { planData } from '@lowrank/domain';
import { makeRecipe, tinyDataset, tinyPreferences, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey } from './caches';
import { sha256 } from './files';
import { runTraining } from './run';

let root: string;
const at = (name: string): string => join(root, name);
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-preflight-'));
  await writeTinyModel(at('model'));
  await writeFile(at('chat.jsonl'), `${tinyDataset(40)}${longChats(6)}`);
  await writeFile(at('preference.jsonl'), tinyPreferences(24));
});
afterAll(() => rm(root, { recursive: true }));

/** Conversations of several answers, the last of which reaches beyond 64 tokens. */
const longChats = (count: number): string =>
  Array.from({ length: count }, (_, i) => {
    const messages = Array.from({ length: 2 + (i % 3) }, (_unused, turn) => [
      { role: 'user', content: `${i} and ${turn}?` },
      { role: 'assistant', content: 'so '.repeat(3 + i + 5 * turn) },
    ]).flat();
    return `${JSON.stringify({ messages })}\n`;
  }).join('');

async function train(format: DatasetFormat, input: RecipeInput) {
  const recipe = makeRecipe({ ...input, lora: { rank: 2 } });
  const file = at(`${format}.jsonl`);
  const told = { totalSteps: 0, messages: [] as string[] };
  const { metrics } = await runTraining({
    recipe,
    adapter: 'sums',
    base: {
      source: 'tiny',
      revision: 'r1',
      key: modelKey([]),
      dir: at('model'),
      fetchWeights: async () => {},
    },
    dataset: { file, sha256: sha256(await readFile(file)), format },
    maxLineBytes: 1 << 20,
    cacheDir: at('cache'),
    checkpointsDir: await mkdtemp(at('checkpoints-')),
    threads: 1,
    signal: new AbortController().signal,
    onMessage: (_level, message) => told.messages.push(message),
    onPlan: (totalSteps) => (told.totalSteps = totalSteps),
    onMetric: () => undefined,
    onCheckpoint: () => undefined,
  });
  const lengths = await measureDatasetFile(file, {
    tokenizerDir: at('model'),
    format,
    maxLineBytes: 1 << 20,
  });
  return { ...told, metrics, data: planData(lengths, recipe).data };
}

const packed = { sequenceLength: 128, rows: 2, accumulation: 2, epochs: 2 };
/** One sequence a row: the shortest takes more than half of one. */
const unpacked = { sequenceLength: 48, rows: 3, epochs: 1 };
const cut = { sequenceLength: 40, rows: 2, epochs: 1.4, accumulation: 3 };

it.each<[string, DatasetFormat, RecipeInput, { truncated?: boolean; dropped?: boolean }]>([
  ['packed chats', 'chat', { training: packed }, { truncated: true }],
  [
    'chats that are not packed',
    'chat',
    { training: unpacked, evaluation: { fraction: 0 } },
    { truncated: true },
  ],
  ['chats that are cut', 'chat', { training: cut, evaluation: { fraction: 0.3 } }, { truncated: true }],
  ['long chats left out', 'chat', { training: { ...cut, tooLong: 'drop' } }, { dropped: true }],
  ['so many steps', 'chat', { training: { ...packed, steps: 5 } }, { truncated: true }],
  ['preferences for DPO', 'preference', { objective: { type: 'dpo' }, training: packed }, {}],
  [
    'preferences for ORPO that are cut',
    'preference',
    { objective: { type: 'orpo' }, training: { ...cut, sequenceLength: 60 }, evaluation: { fraction: 0.2 } },
    { truncated: true },
  ],
])('%s', async (_title, format, input, affected) => {
  const { totalSteps, messages, metrics, data } = await train(format, input);
  expect({ steps: totalSteps, tokens: metrics.trainedTokens }).toEqual({
    steps: data.steps,
    tokens: data.tokens,
  });
  expect(metrics.steps).toBe(data.steps);
  expect(messages).toContainEqual(
    `${data.sequences} sequences in ${data.packedRows} packed rows, ${Math.round(data.fill * 100)} % full; ${data.heldOutSequences} held out`,
  );
  const rows = data.rows + data.heldOutRows;
  const told = (what: string) => messages.find((message) => message.includes(what)) ?? null;
  expect(told('were cut')?.startsWith(`${data.truncatedRows} of ${rows} rows`) ?? false).toBe(
    affected.truncated ?? false,
  );
  expect(told('were left out')?.startsWith(`${data.droppedRows} of ${rows} rows`) ?? false).toBe(
    affected.dropped ?? false,
  );
  expect([data.truncatedRows > 0, data.droppedRows > 0]).toEqual([
    affected.truncated ?? false,
    affected.dropped ?? false,
  ]);
});
