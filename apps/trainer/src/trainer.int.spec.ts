import {
  recipeSchema,
  type Assignment,
  type JobMessage,
  type Manifest,
  type RecipeInput,
} from '@lowrank/contracts';
import { Blobs, createObjectStore } from '@lowrank/storage';
import { tinyDataset, writeQuantizedTinyModel, writeTinyModel } from '@lowrank/testing';
import { type ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Attempt, type OnMessage, startTrainer } from './test/start-trainer';

const folder = (name: string): string => join(root, name);
const files = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'model.safetensors',
];
const steps = 12;

let root: string;
let blobs: Blobs;
let store: ReturnType<typeof createObjectStore>;
let baseModel: Assignment['baseModel'];
let dataset: Assignment['dataset'];
const children = new Set<ChildProcess>();

const id = (kind: string, letter: string): string => `${kind}_${letter.repeat(24)}`;

function assignment(letter: string, recipe: RecipeInput, changes: Partial<Assignment> = {}): Assignment {
  return {
    jobId: id('job', letter),
    epoch: 1,
    work: { kind: 'train' },
    adapter: 'sums',
    baseModel,
    dataset,
    validationDataset: null,
    recipe: recipeSchema.parse(recipe),
    initFrom: null,
    jobDir: folder(`jobs/${letter}`),
    mirroredStep: 0,
    cacheDir: folder('cache'),
    threads: 1,
    traceparent: null,
    ...changes,
  };
}

/** A model folder under root as a base model in the store. */
async function stored(model: string): Promise<Assignment['baseModel']> {
  const put = async (path: string) => ({ path, ...(await blobs.putFile(join(folder(model), path))) });
  return {
    ...{ id: id('base', 'a'), name: 'tiny', source: 'tiny', revision: 'a'.repeat(40) },
    files: await Promise.all(files.map(put)),
  };
}

const smallRecipe: RecipeInput = {
  lora: { rank: 4, dropout: 0.1 },
  training: { steps, sequenceLength: 64, rows: 2, accumulation: 2, compute: 'f32' },
  optimizer: { learningRate: 0.01 },
  evaluation: { fraction: 0.1, everySteps: 5 },
  checkpoints: { everySteps: 3 },
};

const start = (given: Assignment | [Assignment, ...Assignment[]], onMessage?: OnMessage) =>
  startTrainer({ dataDir: root, children }, given, onMessage);

const stop = (child: ChildProcess, letter: string, reason: 'cancel' | 'drain') =>
  child.send({ type: 'stop', jobId: id('job', letter), reason });

const only = <T extends JobMessage['type']>(messages: JobMessage[], type: T) =>
  messages.filter((message): message is Extract<JobMessage, { type: T }> => message.type === type);

const weightsOf = (manifest: Manifest): string | undefined =>
  manifest.files.find(({ path }) => path === 'adapter_model.safetensors')?.sha256;

/** Steps and losses of all metrics; times and speeds differ between runs. */
const trace = (messages: JobMessage[]): string[] =>
  only(messages, 'metric').map(
    ({ metric }) => `${metric.kind} ${metric.step} ${metric.loss} ${metric.gradNorm}`,
  );

async function text(sha256: string | undefined): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of (await blobs.open(sha256 as string)).body) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-trainer-'));
  store = createObjectStore({ s3: null, folder: folder('objects') });
  blobs = new Blobs(store);
  await writeTinyModel(folder('model'));
  baseModel = await stored('model');
  await writeFile(folder('data.jsonl'), tinyDataset(40));
  const { sha256 } = await blobs.putFile(folder('data.jsonl'));
  dataset = { id: id('data', 'a'), sha256, format: 'chat' };
});

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

describe('trainer', () => {
  let undisturbed: Attempt;
  let manifest: Manifest;

  beforeAll(async () => {
    undisturbed = start(assignment('a', smallRecipe));
    expect(await undisturbed.ended).toBe(0);
    manifest = (only(undisturbed.messages, 'published')[0] as { manifest: Manifest }).manifest;
  }, 60_000);

  it('goes through the phases and publishes what PEFT reads', async () => {
    const { messages } = undisturbed;
    expect(only(messages, 'phase').map(({ phase }) => phase)).toEqual(['preparing', 'running', 'publishing']);
    expect(only(messages, 'plan')).toEqual([{ type: 'plan', totalSteps: steps, resumedFromStep: 0 }]);
    const train = only(messages, 'metric').filter(({ metric }) => metric.kind === 'train');
    expect(train.map(({ metric }) => metric.step)).toEqual(Array.from({ length: steps }, (_, i) => i + 1));
    expect(only(messages, 'metric').filter(({ metric }) => metric.kind === 'eval')).toHaveLength(4);
    expect(only(messages, 'checkpoint').map(({ step }) => step)).toEqual([3, 6, 9, 12]);
    expect(await readdir(folder('jobs/a/checkpoints'))).toEqual(['step-00000009', 'step-00000012']);

    expect(manifest.files.map(({ path }) => path)).toEqual([
      'adapter_model.safetensors',
      'adapter_config.json',
      'README.md',
      'samples.json',
    ]);
    expect(manifest.metrics.evalLossAfter).toBeLessThan(manifest.metrics.evalLossBefore as number);
    const config = JSON.parse(await text(manifest.files[1]?.sha256)) as Record<string, unknown>;
    expect(config).toMatchObject({ peft_type: 'LORA', r: 4, lora_alpha: 8, base_model_name_or_path: 'tiny' });
    const stored = JSON.parse(
      await readFile(folder(`objects/manifests/${id('job', 'a')}.json`), 'utf8'),
    ) as Manifest;
    expect(stored).toEqual(manifest);
  });

  it('stores states on the way, as they can be published', async () => {
    const kept = only(undisturbed.messages, 'kept').map((message) => message.manifest);
    expect(kept.map(({ checkpointStep }) => checkpointStep)).toContain(3);
    for (const { checkpointStep, metrics, files, ...facts } of kept) {
      expect(checkpointStep).toBe(metrics.steps);
      expect([3, 5, 6, 9, 10]).toContain(checkpointStep);
      expect(await blobs.missing(files)).toBeNull();
      expect(files.map(({ path }) => path)).toEqual([
        'adapter_model.safetensors',
        'adapter_config.json',
        'README.md',
      ]);
      expect(manifest).toMatchObject(facts);
    }
  });

  it('gives the same bytes with another number of threads', async () => {
    const attempt = start(assignment('b', smallRecipe, { threads: 2 }));
    expect(await attempt.ended).toBe(0);
    expect(weightsOf(only(attempt.messages, 'published')[0]?.manifest as Manifest)).toBe(weightsOf(manifest));
    expect(trace(attempt.messages)).toEqual(trace(undisturbed.messages));
  });

  it('gives the same bytes when it is killed again and again', async () => {
    let result: Manifest | undefined;
    const traces = new Map<string, string>();
    // Each attempt is killed after some more metrics than it takes to reach the next checkpoint.
    for (let epoch = 1; result === undefined && epoch <= 12; epoch += 1) {
      let metrics = 0;
      const limit = 4 + (epoch % 3);
      const attempt = start(assignment('c', smallRecipe, { epoch }), (message, child) => {
        if (message.type === 'metric' && (metrics += 1) === limit) child.kill('SIGKILL');
      });
      const end = await attempt.ended;
      for (const line of trace(attempt.messages)) {
        const key = line.split(' ').slice(0, 2).join(' ');
        expect(traces.get(key) ?? line).toBe(line);
        traces.set(key, line);
      }
      if (end === 0) result = only(attempt.messages, 'published')[0]?.manifest;
      else expect(end).toBe('SIGKILL');
      if (epoch > 1) expect(only(attempt.messages, 'plan')[0]?.resumedFromStep).toBeGreaterThan(0);
    }
    expect(weightsOf(result as Manifest)).toBe(weightsOf(manifest));
    expect([...traces.values()].sort()).toEqual(trace(undisturbed.messages).sort());
    expect(result?.metrics.trainLoss).toBe(manifest.metrics.trainLoss);
  }, 120_000);

  it('starts from the weights of a version, which is a parent of the next', async () => {
    const parent = { versionId: id('ver', 'a'), adapter: 'sums', number: 1 };
    const from = { initFrom: { ...parent, files: manifest.files } };
    const attempt = start(assignment('z', smallRecipe, from));
    expect(await attempt.ended).toBe(0);
    const [published] = only(attempt.messages, 'published');
    expect(published?.manifest.parents).toEqual([{ ...parent, kind: 'continued' }]);
    expect(published?.manifest.metrics.evalLossBefore).toBe(manifest.metrics.evalLossAfter);
  });

  it('drains with a checkpoint, passes over a damaged one wherever it is, and goes on', async () => {
    const drained = start(assignment('d', smallRecipe), (message, child) => {
      if (message.type === 'metric' && message.metric.kind === 'train' && message.metric.step === 5)
        stop(child, 'd', 'drain');
    });
    expect(await drained.ended).toBe(0);
    expect(drained.messages.at(-1)).toEqual({ type: 'stopped', reason: 'drain' });
    const last = only(drained.messages, 'checkpoint').at(-1)?.step as number;
    expect(last).toBeGreaterThanOrEqual(5);

    // Neither the copy on the disk nor the one in the store can be used.
    const name = `step-${String(last).padStart(8, '0')}`;
    const copy = `objects/checkpoints/${id('job', 'd')}/${name}-00000001/adapter.state`;
    for (const state of [folder(`jobs/d/checkpoints/${name}/adapter.state`), folder(copy)]) {
      const bytes = await readFile(state);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
      await writeFile(state, bytes);
    }
    const resumed = start(assignment('d', smallRecipe, { epoch: 2 }));
    expect(await resumed.ended).toBe(0);
    expect(only(resumed.messages, 'plan')[0]?.resumedFromStep).toBe(3);
    expect(only(resumed.messages, 'message').some(({ level }) => level === 'warn')).toBe(true);
    expect(weightsOf(only(resumed.messages, 'published')[0]?.manifest as Manifest)).toBe(weightsOf(manifest));
  }, 60_000);

  it('keeps the base as the recipe says, each way under a name of its own', async () => {
    const cards = await Promise.all(
      (['nf4', 'int8', 'bf16'] as const).map(async (quantization, i) => {
        const recipe = { ...smallRecipe, base: { quantization, doubleQuantization: false } };
        const attempt = start(assignment('klm'.charAt(i), recipe));
        expect(await attempt.ended).toBe(0);
        return text(only(attempt.messages, 'published')[0]?.manifest.files[2]?.sha256);
      }),
    );
    expect(cards[0]).toMatch(/trained with QLoRA.*kept in NF4\./s);
    expect(cards[1]).toMatch(/trained with QLoRA.*kept in int8\./s);
    expect(cards[2]).toMatch(/trained with LoRA.*kept in bfloat16\./s);
    const kept = await readdir(folder('cache/quantized'));
    expect(kept.map((name) => name.replace(/^[0-9a-f]{64}-/, '')).sort()).toEqual(
      ['bf16', 'int8', 'nf4-double', 'nf4'].map((name) => `${name}-v2.lrb`),
    );
  }, 60_000);

  it('takes a checkpoint over as bitsandbytes quantized it, and says that the recipe was not followed', async () => {
    await writeQuantizedTinyModel(folder('quantized'));
    const attempt = start(assignment('j', smallRecipe, { baseModel: await stored('quantized') }));
    expect(await attempt.ended).toBe(0);
    const warnings = only(attempt.messages, 'message').filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => message)).toEqual([
      "the base model comes quantized as int8 and stays so; the recipe's nf4-double was not used",
    ]);
    const published = only(attempt.messages, 'published')[0]?.manifest as Manifest;
    expect(published.recipe.base).toEqual({ quantization: 'nf4', doubleQuantization: true });
    expect(await text(published.files[2]?.sha256)).toContain('kept in int8, as the checkpoint came.');
    expect(published.metrics.evalLossAfter).toBeLessThan(published.metrics.evalLossBefore as number);
  }, 60_000);

  it('trains several jobs together, each to the bytes that it has alone, and stops one of them', async () => {
    const other = { ...smallRecipe, lora: { rank: 8 }, training: { ...smallRecipe.training, seed: 5 } };
    const alone = start(assignment('n', other));
    expect(await alone.ended).toBe(0);
    const together = start(
      [
        assignment('p', smallRecipe),
        assignment('q', smallRecipe),
        assignment('r', other),
        assignment('s', { ...smallRecipe, lora: { targets: ['nose_proj'] } }),
      ],
      (message, child, jobId) => {
        if (jobId === id('job', 'q') && message.type === 'metric' && message.metric.step === 4)
          stop(child, 'q', 'cancel');
      },
    );
    expect(await together.ended).toBe(1);
    const [first, stopped, third, wrong] = [...together.all.values()] as [
      JobMessage[],
      JobMessage[],
      JobMessage[],
      JobMessage[],
    ];
    const publishedBy = (messages: JobMessage[]) =>
      weightsOf(only(messages, 'published')[0]?.manifest as Manifest);
    expect([publishedBy(first), trace(first)]).toEqual([weightsOf(manifest), trace(undisturbed.messages)]);
    expect([publishedBy(third), trace(third)]).toEqual([publishedBy(alone.messages), trace(alone.messages)]);
    expect(stopped.at(-1)).toEqual({ type: 'stopped', reason: 'cancel' });
    expect(wrong.at(-1)).toMatchObject({ type: 'failed', code: 'recipe_invalid' });
  }, 60_000);

  it('stops for a cancellation without a result', async () => {
    const attempt = start(assignment('e', smallRecipe), (message, child) => {
      if (message.type === 'metric') stop(child, 'e', 'cancel');
    });
    expect(await attempt.ended).toBe(0);
    expect(attempt.messages.at(-1)).toEqual({ type: 'stopped', reason: 'cancel' });
    expect(await store.head(`manifests/${id('job', 'e')}.json`)).toBeNull();
  });

  it('ends with a checkpoint when its worker is gone', async () => {
    const attempt = start(assignment('f', smallRecipe), (message, child) => {
      if (message.type === 'metric' && message.metric.step === 4) child.disconnect();
    });
    expect(await attempt.ended).toBe(0);
    const names = await readdir(folder('jobs/f/checkpoints'));
    expect(Math.max(...names.map((name) => Number(name.slice(5))))).toBeGreaterThanOrEqual(4);
    expect(await store.head(`manifests/${id('job', 'f')}.json`)).toBeNull();
  });

  it('gives the same bytes when every attempt is on another machine', async () => {
    // Long enough that a copy is in the store before the end.
    const training = { ...smallRecipe.training, steps: 300 };
    const recipe: RecipeInput = { ...smallRecipe, training, checkpoints: { everySteps: 20 } };
    const bytesOf = ({ messages }: Attempt) =>
      weightsOf((only(messages, 'published')[0] as { manifest: Manifest }).manifest);
    const alone = start(assignment('w', recipe));
    expect(await alone.ended).toBe(0);
    const resumed: number[] = [];
    for (let epoch = 1; epoch <= 3; epoch += 1) {
      const given = assignment('x', recipe, { epoch, jobDir: folder(`machine-${epoch}`) });
      const attempt = start(given, (message, child) => {
        if (epoch < 3 && message.type === 'mirrored') child.kill('SIGKILL');
      });
      expect([epoch, await attempt.ended]).toEqual([epoch, epoch < 3 ? 'SIGKILL' : 0]);
      resumed.push(only(attempt.messages, 'plan')[0]?.resumedFromStep as number);
      if (epoch === 3) expect(bytesOf(attempt)).toBe(bytesOf(alone));
    }
    // Each has come further than the attempt before, whose disk it does not see.
    expect(resumed).toEqual([...new Set(resumed)].sort((a, b) => a - b));
  }, 120_000);

  it('trains on and publishes while checkpoints cannot be copied, and says so once', async () => {
    const key = folder(`objects/checkpoints/${id('job', 'o')}`);
    const attempt = start(assignment('o', smallRecipe), (message) => {
      if (message.type !== 'plan') return;
      rmSync(key, { recursive: true });
      writeFileSync(key, 'no folder');
    });
    expect(await attempt.ended).toBe(0);
    expect(weightsOf(only(attempt.messages, 'published')[0]?.manifest as Manifest)).toBe(weightsOf(manifest));
    expect(only(attempt.messages, 'mirrored')).toEqual([]);
    const warnings = only(attempt.messages, 'message').filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^checkpoints do not reach the object store; training goes on/),
    ]);
  }, 60_000);

  it('reports what an earlier attempt has published', async () => {
    const again = start(assignment('a', smallRecipe, { epoch: 2 }));
    expect(await again.ended).toBe(0);
    expect(only(again.messages, 'published')[0]?.manifest).toEqual(manifest);
    expect(only(again.messages, 'metric')).toHaveLength(0);
  });

  it.each([
    ['an unknown target', { lora: { targets: ['nose_proj'] } }, {}, 'recipe_invalid', false],
    [
      'rows that are too long',
      { training: { sequenceLength: 16, tooLong: 'fail' } },
      {},
      'sequence_too_long',
      false,
    ],
    [
      'a sequence length beyond the context',
      { training: { sequenceLength: 512 } },
      {},
      'recipe_invalid',
      false,
    ],
    ['a missing dataset', {}, { dataset: { sha256: 'f'.repeat(64), format: 'chat' } }, 'not_found', false],
  ] as const)('fails for %s', async (_title, recipe, changes, code, retryable) => {
    const given = assignment('g', { training: { sequenceLength: 64 }, ...(recipe as RecipeInput) });
    const changed =
      'dataset' in changes ? { ...given, dataset: { ...given.dataset, ...changes.dataset } } : given;
    const attempt = start(changed);
    expect(await attempt.ended).toBe(1);
    expect(attempt.messages.at(-1)).toMatchObject({ type: 'failed', code, retryable });
  });
});
