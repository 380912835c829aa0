// The memory that is predicted for a job, beside what its trainer really takes: the trainer process itself, from a dataset to
// published files, on Llama-architecture models with random weights. Exits with 1 when one is off by more than a tenth.
//
//   npm run bench:memory -- [--only 10M] [--parts]
//
// Needs the oracle for making the models (tools/oracle/setup.sh). Writes bench/results/memory.json.
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { parseArgs } from 'node:util';
import { library, makeFolder, openKernels, setUpOracle } from './models.mjs';
import { print, root, writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    threads: { type: 'string', default: '2' },
    parts: { type: 'boolean', default: false },
  },
});
const threads = Number(flags.threads);
const tolerance = 0.1;

const { recipeSchema } = library('contracts');
const { predictMemory, splitRows } = library('domain');
const { inspectModelFolder, loadChatTokenizer } = library('datasets');
const { Blobs, createObjectStore } = library('storage');
const { loadTokens, modelKey, planTraining, quantizedBasePath, toSequences } = library('training');

/** [model, tokens of a packed row, packed rows of a micro-batch, rest of the recipe, conversations in the dataset] */
const off = { checkpointActivations: false };
const cases = [
  ['10M', 512, 1, {}],
  ['10M', 512, 4, { training: off }],
  ['10M', 2048, 1, { lora: { rank: 128 } }],
  ['10M', 8192, 1, {}],
  ['10M', 8192, 1, { training: off }],
  ['10M', 512, 1, {}, 20_000],
  ['50M', 512, 4, {}],
  ['50M', 2048, 1, { training: off }],
  ['50M', 2048, 1, { lora: { rank: 32, dora: true } }],
  ['50M', 2048, 1, { lora: { rank: 32, dora: true, dropout: 0.1 }, training: off }],
  ['50M', 2048, 1, { objective: { type: 'dpo' } }],
  ['100M', 512, 1, { lora: { rank: 8 } }],
  ['100M', 1024, 2, { training: off }],
  ['100M', 512, 2, { lora: { rank: 256 }, optimizer: { name: 'adamw8bit' } }],
  ['100M', 512, 2, { lora: { rank: 64, init: 'pissa', initIterations: 1 } }],
  ['100M', 1024, 1, { base: { quantization: 'bf16' }, lora: { layers: [9, 10, 11] }, training: off }],
  ['500M', 512, 1, {}],
  ['500M', 512, 1, { lora: { rank: 128 }, training: off }],
];

const MiB = (bytes) => Math.round(bytes / 2 ** 20);
const id = (kind) => `${kind}_${'a'.repeat(24)}`;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Rows whose answers fill `length` tokens and more, or are short where there are many. */
function dataset(format, length, conversations) {
  const word = (i) => `${['lake', 'stone', 'river', 'cloud'][i % 4]} ${i} `;
  const answer = (seed) => Array.from({ length }, (_, i) => word(seed * 31 + i)).join('');
  const lines = Array.from({ length: conversations }, (_, i) =>
    format === 'preference'
      ? { prompt: word(i), chosen: answer(i), rejected: answer(i + 1) }
      : {
          messages: [
            { role: 'user', content: word(i) },
            { role: 'assistant', content: answer(i) },
          ],
        },
  );
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}

/** The lengths in the largest micro-batch, by the trainer's own packing, and what the dataset comes to. */
async function lengthsOf(recipe, file, folder, work) {
  const format = recipe.objective.type === 'sft' ? 'chat' : 'preference';
  const { fingerprint } = await loadChatTokenizer(folder);
  const cacheDir = join(work, 'tokens');
  const hash = sha256(readFileSync(file));
  const rows = await loadTokens({
    ...{ file, sha256: hash, format, tokenizerDir: folder, fingerprint, cacheDir },
    maxLineBytes: 2 ** 30,
  });
  const together = format === 'chat' ? 1 : 2;
  const { fraction } = recipe.evaluation;
  const { train } = splitRows(rows.length / together, fraction, recipe.training.seed);
  const { sequences } = toSequences(rows, recipe, train);
  const plan = planTraining(sequences, recipe);
  const batches = Array.from({ length: plan.totalSteps }, (_, step) => plan.microBatches(step)).flat();
  const largest = batches.reduce((most, batch) => (batch.tokens.length > most.tokens.length ? batch : most));
  const lengths = Array.from(largest.starts.subarray(1), (end, i) => end - largest.starts[i]);
  const tokens = rows.reduce((sum, row) => sum + row.tokens.length, 0);
  return { lengths, dataset: { conversations: rows.length, tokens }, hash, format };
}

/** Highest VmHWM of a process while it lives. */
function watch(pid) {
  let peak = 0;
  const look = () => {
    try {
      const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      peak = Math.max(peak, Number(kibibytes ?? 0) * 1024);
    } catch {
      // gone
    }
  };
  const timer = setInterval(look, 20);
  return { look, stop: () => (clearInterval(timer), peak) };
}

/** Runs a trainer to its end: its peak, and how long it took. */
async function train(home, assignment) {
  const started = performance.now();
  const child = fork(join(root, 'dist/apps/trainer/src/main.js'), [], {
    env: { PATH: process.env.PATH, LOWRANK_DATA: home },
    execArgv: ['--enable-source-maps'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const memory = watch(child.pid);
  const last = await new Promise((resolve, reject) => {
    child.on('message', ({ message }) => {
      memory.look();
      if (message === undefined) return;
      if (message.type === 'failed') reject(new Error(message.message));
      if (message.type === 'published') resolve(message.manifest);
    });
    child.on('exit', (code) => reject(new Error(`the trainer ended with ${code}`)));
    child.send({ type: 'assign', assignments: [assignment] });
  }).finally(() => child.kill());
  const seconds = (performance.now() - started) / 1000;
  return { peak: Math.max(memory.stop(), last.metrics.peakMemoryBytes), seconds };
}

/** A model in a folder, its quantized base where trainers look for it: its weights are then not asked for. */
async function prepare(work, name) {
  const folder = makeFolder(work, name);
  const facts = await inspectModelFolder(folder);
  const store = createObjectStore({ folder: join(work, 'objects') });
  const blobs = new Blobs(store);
  const files = [];
  for (const { path } of facts.files) {
    const weights = path.endsWith('.safetensors');
    files.push(
      weights
        ? { path, sha256: sha256(name), bytes: statSync(join(folder, path)).size }
        : { path, ...(await blobs.putFile(join(folder, path))) },
    );
  }
  const cacheDir = join(work, 'cache');
  const storages = new Set();
  const keep = async (storage) => {
    const file = quantizedBasePath({ key: modelKey(files), storage, cacheDir });
    if (storages.has(file)) return;
    storages.add(file);
    mkdirSync(dirname(file), { recursive: true });
    const kernels = openKernels({ threads });
    const { quantization: format, doubleQuantization } = storage;
    await kernels.quantizeBase(folder, file, { quantization: { format, doubleQuantization } });
    kernels.close();
  };
  return { folder, facts, files, blobs, cacheDir, keep };
}

const name = ([model, length, rows, input, conversations]) =>
  [
    model.padEnd(5),
    `${rows} × ${length}`.padStart(9),
    input.training?.checkpointActivations === false ? 'off' : 'on ',
    JSON.stringify({ ...input, training: undefined })
      .slice(1, -1)
      .replaceAll('"', ''),
    conversations ? `${conversations} conversations` : '',
  ].join('  ');

async function measure(work, made, [model, length, rows, input, conversations]) {
  const few = rows + 1; // one is held out
  const count = conversations ?? few;
  const steps = 2;
  const recipe = recipeSchema.parse({
    ...input,
    training: { ...input.training, sequenceLength: length, rows, steps },
    evaluation: { fraction: conversations === undefined ? 1 / few : 1e-6 },
  });
  const format = recipe.objective.type === 'sft' ? 'chat' : 'preference';
  const file = join(work, 'data.jsonl');
  writeFileSync(file, dataset(format, conversations === undefined ? length : 20, count));
  const prepared = await lengthsOf(recipe, file, made.folder, work);
  const { bytes: predicted, parts } = predictMemory({
    model: made.facts,
    recipe,
    lengths: prepared.lengths,
    threads,
    dataset: prepared.dataset,
    tokenizerBytes: made.facts.files.find(({ path }) => path === 'tokenizer.json').bytes,
  });
  await made.keep(recipe.base);
  const stored = await made.blobs.putFile(file);
  const jobDir = mkdtempSync(join(work, 'job-'));
  const { peak, seconds } = await train(work, {
    jobId: `job_${sha256(jobDir)
      .replaceAll(/[^a-z]/g, '')
      .padEnd(24, 'a')
      .slice(0, 24)}`,
    epoch: 1,
    adapter: 'bench',
    baseModel: { id: id('base'), name: 'bench', source: model, revision: 'a'.repeat(40), files: made.files },
    dataset: { id: id('data'), sha256: stored.sha256, format },
    recipe,
    jobDir,
    cacheDir: made.cacheDir,
    threads,
  });
  rmSync(jobDir, { recursive: true, force: true });
  return { model, length, rows, input, conversations: count, predicted, peak, seconds, parts };
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-memory-'));
const results = [];
try {
  print(
    `${'predicted'.padStart(10)}${'measured'.padStart(10)}  ratio   s  model  row × tokens, checkpointing, recipe`,
  );
  const wanted = cases.filter(([model]) => flags.only === undefined || flags.only === model);
  for (const model of new Set(wanted.map(([one]) => one))) {
    const made = await prepare(work, model);
    for (const one of wanted.filter(([of]) => of === model)) {
      const result = await measure(work, made, one);
      results.push(result);
      const ratio = result.predicted / result.peak;
      const bad = Math.abs(ratio - 1) > tolerance ? '  ← off' : '';
      const figures = `${String(MiB(result.predicted)).padStart(10)}${String(MiB(result.peak)).padStart(10)}  ${ratio.toFixed(2)}`;
      print(`${figures} ${result.seconds.toFixed(0).padStart(4)}  ${name(one)}${bad}`);
      if (!flags.parts) continue;
      for (const [part, bytes] of Object.entries(result.parts))
        print(`${String(MiB(bytes)).padStart(30)}  ${part}`);
    }
    rmSync(made.folder, { recursive: true, force: true });
  }
  const worst = Math.max(...results.map(({ predicted, peak }) => Math.abs(predicted / peak - 1)));
  print(`MiB; at worst ${(100 * worst).toFixed(1)} % off`);
  writeResults('memory', { threads, results });
  process.exitCode = worst > tolerance ? 1 : 0;
} finally {
  rmSync(work, { recursive: true, force: true });
}
