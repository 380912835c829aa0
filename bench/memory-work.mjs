// The memory that is predicted for exports, combinations and evaluations, beside what their trainers really take: the trainer process itself, on
// Llama-architecture models with random weights and adapters that were trained for two steps. Exits with 1 when one is off by more than a fifth.
//
//   npm run bench:memory-work -- [--only 10M] [--parts]
//
// Needs the oracle for making the models (tools/oracle/setup.sh). Writes bench/results/memory-work.json.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { library, setUpOracle } from './models.mjs';
import { print, writeResults } from './results.mjs';
import { assignmentOf, dataset, id, MiB, prepare, runAssignment, sha256 } from './trainers.mjs';

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    threads: { type: 'string', default: '2' },
    parts: { type: 'boolean', default: false },
  },
});
const threads = Number(flags.threads);
const tolerance = 0.2;

const { recipeSchema } = library('contracts');
const { predictWorkMemory } = library('domain');
const { loadChatTokenizer } = library('datasets');
const { loadTokens } = library('training');

const models = ['10M', '100M', '500M'].filter((name) => flags.only === undefined || flags.only === name);
const lenient = { klMean: 1e9, agreement: 0 };
const limits = { maxRows: 32, maxTokens: 64, sequenceLength: 512 };
const combination = { weights: [0.5, 0.5], rank: null, density: 0.5, majoritySign: 'total', seed: 0 };

/** What each model's versions are put through. */
const works = [
  ...['merged', 'gguf-adapter', 'gguf-f16', 'gguf-q8_0'].map((format) => [
    `export ${format}`,
    ([version]) => ({ kind: 'export', version, format, thresholds: lenient }),
  ]),
  ...['cat', 'svd', 'ties'].map((method) => [
    `combine ${method}`,
    (parents) => ({
      ...{ kind: 'combine', parents, thresholds: lenient },
      settings: { ...combination, method },
    }),
  ]),
  ...[{ metric: 'loss' }, { metric: 'regex', pattern: '^', flags: '' }].map((measure) => [
    `evaluate ${measure.metric}`,
    ([version]) => ({ kind: 'evaluate', version, settings: { measures: [measure], limits }, move: null }),
  ]),
];

async function rowsOf(work, made, file, hash) {
  const { fingerprint } = await loadChatTokenizer(made.folder);
  const rows = await loadTokens({
    ...{ file, sha256: hash, format: 'chat', tokenizerDir: made.folder, fingerprint },
    ...{ cacheDir: join(work, 'tokens'), maxLineBytes: 2 ** 30 },
  });
  const lengths = rows.map(({ tokens }) => tokens.length);
  return {
    dataset: { conversations: rows.length, tokens: lengths.reduce((sum, length) => sum + length, 0) },
    longest: Math.max(...lengths),
  };
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-memory-'));
const results = [];
try {
  print(`${'predicted'.padStart(10)}${'measured'.padStart(10)}  ratio   s  model  work`);
  for (const model of models) {
    const made = await prepare(work, model, { threads, weights: true });
    const recipe = recipeSchema.parse({
      lora: { rank: 16 },
      training: { sequenceLength: 512, rows: 1, steps: 2 },
      evaluation: { fraction: 0.5 },
    });
    await made.keep(recipe.base);
    await made.keep({ quantization: 'bf16', doubleQuantization: false });
    const file = join(work, 'data.jsonl');
    const text = dataset('chat', 200, 32);
    writeFileSync(file, text);
    const { sha256: hash } = await made.blobs.putFile(file);
    const common = { model, dataset: { sha256: hash, format: 'chat' }, recipe, threads };
    const versions = [];
    for (const number of [1, 2]) {
      const { manifest } = await runAssignment(work, assignmentOf(work, made, common));
      const { files } = manifest;
      versions.push({ id: `${id('ver').slice(0, -1)}${'ab'[number - 1]}`, adapter: 'bench', number, files });
    }
    const rows = await rowsOf(work, made, file, sha256(text));
    for (const [name, workOf] of works) {
      const asked = workOf(versions);
      const { bytes: predicted, parts } = predictWorkMemory({
        ...{ model: made.facts, work: asked, recipes: versions.map(() => recipe), threads, ...rows },
        tokenizerBytes: made.facts.files.find(({ path }) => path === 'tokenizer.json').bytes,
      });
      const assignment = { ...assignmentOf(work, made, common), work: asked };
      const { peak, seconds } = await runAssignment(work, assignment);
      results.push({ model, name, predicted, peak, seconds, parts });
      const ratio = predicted / peak;
      const bad = Math.abs(ratio - 1) > tolerance ? '  ← off' : '';
      print(
        `${String(MiB(predicted)).padStart(10)}${String(MiB(peak)).padStart(10)}  ${ratio.toFixed(2)} ${seconds.toFixed(0).padStart(4)}  ${model.padEnd(5)}  ${name}${bad}`,
      );
      if (!flags.parts) continue;
      for (const [part, bytes] of Object.entries(parts)) print(`${String(MiB(bytes)).padStart(30)}  ${part}`);
    }
    rmSync(made.folder, { recursive: true, force: true });
  }
  const worst = Math.max(...results.map(({ predicted, peak }) => Math.abs(predicted / peak - 1)));
  print(`MiB; at worst ${(100 * worst).toFixed(1)} % off`);
  writeResults('memory-work', { threads, results });
  process.exitCode = worst > tolerance ? 1 : 0;
} finally {
  rmSync(work, { recursive: true, force: true });
}
