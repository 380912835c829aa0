import {
  type EvaluationSettings,
  evaluationSettingsSchema,
  type Measure,
  type RecipeInput,
} from '@lowrank/contracts';
import { loadChatTokenizer } from '@lowrank/datasets';
import { splitRows } from '@lowrank/domain';
import { codeOf, makeRecipe, tinyDataset, writeTinyModel } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelKey, openQuantizedBase } from '../caches';
import { openDevice } from '../device';
import { generate } from '../generate';
import { loadAdapter } from '../peft';
import { runTraining } from '../run';
import { runEvaluation, type RunEvaluationOptions } from './run-evaluation';

const small: RecipeInput = {
  lora: { rank: 4 },
  training: { steps: 6, sequenceLength: 128, rows: 2, compute: 'f32' },
  optimizer: { learningRate: 0.02 },
  evaluation: { fraction: 0.2 },
};
const recipe = makeRecipe(small);
const rows = tinyDataset(40).trimEnd().split('\n');
/** Of each answer that is generated. */
const maxTokens = 6;

describe('runEvaluation', () => {
  let root: string;
  let lossAfter: number;
  let options: Omit<RunEvaluationOptions, 'dataset' | 'settings' | 'onProgress'>;
  const signal = new AbortController().signal;

  const write = async (name: string, lines: readonly string[]) => {
    const text = `${lines.join('\n')}\n`;
    const file = join(root, name);
    await writeFile(file, text);
    return { file, sha256: createHash('sha256').update(text).digest('hex'), format: 'chat' as const };
  };
  const settings = (measures: Measure[], limits = {}): EvaluationSettings =>
    evaluationSettingsSchema.parse({ measures, limits: { maxTokens, ...limits } });

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-evaluate-'));
    await writeTinyModel(join(root, 'model'));
    const base = { key: modelKey([]), dir: join(root, 'model'), fetchWeights: () => Promise.resolve() };
    const common = { maxLineBytes: 1 << 20, cacheDir: join(root, 'cache'), threads: 1, signal };
    const trained = await runTraining({
      ...{ ...common, recipe, adapter: 'sums', base: { ...base, source: 'tiny', revision: 'r1' } },
      ...{ dataset: await write('data.jsonl', rows), checkpointsDir: join(root, 'checkpoints') },
      ...{ onMessage: () => undefined, onPlan: () => undefined, onMetric: () => undefined },
      onCheckpoint: () => undefined,
    });
    lossAfter = trained.metrics.evalLossAfter as number;
    const adapterDir = join(root, 'adapter');
    await mkdir(adapterDir);
    for (const { path, bytes } of trained.files) await writeFile(join(adapterDir, path), bytes);
    options = { ...common, base, adapterDir, storage: recipe.base, compute: 'f32' };
  }, 60_000);
  afterAll(() => rm(root, { recursive: true }));

  const run = async (
    dataset: RunEvaluationOptions['dataset'],
    wanted: EvaluationSettings,
    more: Partial<RunEvaluationOptions> = {},
  ) => runEvaluation({ ...options, dataset, settings: wanted, onProgress: () => undefined, ...more });

  /** What the version answers to the first rows, each in a session of its own. */
  async function ownAnswers(count: number): Promise<string[]> {
    const kernels = openDevice({ threads: 1, compute: 'f32' });
    const stored = { key: options.base.key, storage: recipe.base, cacheDir: options.cacheDir };
    const base = await openQuantizedBase(kernels, async () => options.base.dir, stored, { signal });
    const adapter = await loadAdapter(base, options.adapterDir);
    const tokenizer = await loadChatTokenizer(options.base.dir);
    const answers: string[] = [];
    for (const row of rows.slice(0, count)) {
      const { messages } = JSON.parse(row) as { messages: { role: 'user' | 'assistant'; content: string }[] };
      answers.push((await generate(base, tokenizer, messages.slice(0, -1), { adapter, maxTokens })).text);
    }
    for (const handle of [adapter, base, kernels]) handle.close();
    return answers;
  }

  it('measures the loss that training told of the rows that it held out', async () => {
    const { held } = splitRows(rows.length, recipe.evaluation.fraction, recipe.training.seed);
    const dataset = await write(
      'held.jsonl',
      held.map((i) => rows[i] as string),
    );
    const { rows: count, results } = await run(dataset, settings([{ metric: 'loss' }]));
    expect(count).toBe(held.length);
    expect(results[0]?.value).toBeCloseTo(lossAfter, 5);
    expect(results[0]?.count).toBeGreaterThan(held.length);
  });

  it('looks at greedy answers, generated together as each would be alone', async () => {
    const answers = await ownAnswers(20);
    const lines = answers.map((answer, i) => {
      const { messages } = JSON.parse(rows[i] as string) as { messages: { role: string; content: string }[] };
      // Every fourth row wants something that is not answered.
      const content = i % 4 === 3 ? `${answer} or not` : answer;
      return JSON.stringify({ messages: [...messages.slice(0, -1), { role: 'assistant', content }] });
    });
    const dataset = await write('own.jsonl', lines);
    const steps: number[] = [];
    const wanted = settings([
      { metric: 'exact-match', ignoreCase: false },
      { metric: 'regex', pattern: '.', flags: 's' },
      { metric: 'json-schema', schema: { type: 'object' } },
      { metric: 'loss' },
    ]);
    const { results } = await run(dataset, wanted, { onProgress: (step) => steps.push(step) });
    const [exact, anything, json, loss] = results;
    expect(exact).toMatchObject({ value: 0.75, count: 20 });
    expect(exact?.failures).toMatchObject([4, 8, 12].map((row) => ({ row, answer: answers[row - 1] })));
    expect(anything?.value).toBe(answers.filter((answer) => answer !== '').length / 20);
    expect(json).toMatchObject({ value: 0, count: 20 });
    expect(loss?.failures).toEqual([]);
    expect(steps.at(-1)).toBe(40);
    expect(steps).toEqual(steps.toSorted((a, b) => a - b));
    // The same again, and of fewer rows.
    expect((await run(dataset, wanted)).results).toEqual(results);
    const fewer = settings(wanted.measures, { maxRows: 4 });
    expect(await run(dataset, fewer)).toMatchObject({
      rows: 4,
      results: [{ value: 0.75, count: 4 }, {}, {}, {}],
    });
  });

  it('counts a prompt that does not fit as wrong', async () => {
    const dataset = await write('data.jsonl', rows);
    const limits = { sequenceLength: 16, maxRows: 3 };
    const wanted = settings([{ metric: 'regex', pattern: '^', flags: '' }], limits);
    const { results } = await run(dataset, wanted);
    expect(results[0]).toMatchObject({ value: 0, count: 3 });
    expect(results[0]?.failures[0]).toEqual({
      row: 1,
      answer: '',
      problem: 'its prompt has 16 tokens or more',
    });
    const loss = settings([{ metric: 'loss' }], { sequenceLength: 16 });
    expect(await codeOf(run(dataset, loss))).toBe('evaluation_failed');
  });

  it('stops, with the reason that it was given', async () => {
    const stop = new AbortController();
    const dataset = await write('data.jsonl', rows);
    const wanted = settings([{ metric: 'exact-match', ignoreCase: false }]);
    const more = { signal: stop.signal, onProgress: () => stop.abort('drain') };
    await expect(run(dataset, wanted, more)).rejects.toBe('drain');
  });
});
