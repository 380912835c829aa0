// The memory that is predicted for a job, beside what its trainer really takes: the trainer process itself, from a dataset to
// published files, on Llama-architecture models with random weights. Exits with 1 when one is off by more than a tenth.
//
//   npm run bench:memory -- [--only 10M] [--parts]
//
// Needs the oracle for making the models (tools/oracle/setup.sh). Writes bench/results/memory.json.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { library, setUpOracle } from './models.mjs';
import { print, writeResults } from './results.mjs';
import { assignmentOf, dataset, MiB, prepare, runAssignment, sha256 } from './trainers.mjs';

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
const { loadChatTokenizer } = library('datasets');
const { loadTokens, planTraining, toSequences } = library('training');

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
  const data = { sha256: stored.sha256, format };
  const { peak, seconds } = await runAssignment(
    work,
    assignmentOf(work, made, { model, dataset: data, recipe, threads }),
  );
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
    const made = await prepare(work, model, { threads });
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
