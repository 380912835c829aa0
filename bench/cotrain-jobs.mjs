// Whole small jobs: all in one trainer process, as a worker has them when they share a slot, beside a process for each, one after the
// other, as it has them otherwise. From the assignment to the published version of the last, on the sample base, in turn in one run;
// what each job publishes has to be the same, byte for byte.
//
//   npm run bench:cotrain-jobs -- [--jobs 8] [--steps 60] [--lengths 32,64,128,256] [--rounds 3] [--threads 2]
//
// Writes bench/results/cotrain-jobs.json. Needs `npm run build`.
import { fork } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { library } from './models.mjs';
import { median, print, root, writeResults } from './results.mjs';

const { recipeSchema } = library('contracts');
const { Blobs, createObjectStore } = library('storage');
const { values: flags } = parseArgs({
  options: {
    jobs: { type: 'string', default: '8' },
    steps: { type: 'string', default: '60' },
    lengths: { type: 'string', default: '32,64,128,256' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
  },
});
const [count, steps, rounds, threads] = [flags.jobs, flags.steps, flags.rounds, flags.threads].map(Number);

let made = 0;
/** Ids as the server makes them: no job of this run has another's manifest. */
const id = (kind) =>
  `${kind}_${(made++).toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(24, 'c')}`;

/** Runs a trainer with these assignments to its end. Resolves to the SHA-256 of each job's weights. */
async function train(home, assignments) {
  const child = fork(join(root, 'dist/apps/trainer/src/main.js'), [], {
    env: { PATH: process.env.PATH, LOWRANK_DATA: home },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const weights = new Map();
  await new Promise((resolve, reject) => {
    child.on('message', ({ jobId, message }) => {
      if (message?.type === 'failed') reject(new Error(message.message));
      if (message?.type !== 'published') return;
      const { sha256 } = message.manifest.files.find(({ path }) => path === 'adapter_model.safetensors');
      weights.set(jobId, sha256);
    });
    child.on('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`the trainer ended with ${code}`)),
    );
    child.send({ type: 'assign', assignments });
  });
  return assignments.map(({ jobId }) => weights.get(jobId));
}

async function measure(work, inputs, length) {
  const assign = (number) => {
    const jobId = id('job');
    const recipe = recipeSchema.parse({
      lora: { rank: 8 },
      training: { steps, sequenceLength: length, rows: 1, seed: number, tooLong: 'truncate' },
      optimizer: { learningRate: 0.002 },
      evaluation: { fraction: 0 },
    });
    return {
      ...inputs,
      ...{ jobId, epoch: 1, adapter: `bench-${number}`, recipe, threads, traceparent: null },
      jobDir: join(work, 'jobs', jobId),
    };
  };
  const assignments = () => Array.from({ length: count }, (_, number) => assign(number));
  const seconds = { together: [], inTurn: [] };
  const timed = async (kind, run) => {
    const started = performance.now();
    const weights = await run();
    seconds[kind].push((performance.now() - started) / 1000);
    return weights;
  };
  for (let round = 0; round < rounds; round += 1) {
    const together = await timed('together', () => train(work, assignments()));
    const inTurn = await timed('inTurn', async () => {
      const weights = [];
      for (const assignment of assignments()) weights.push(...(await train(work, [assignment])));
      return weights;
    });
    if (together.join() !== inTurn.join())
      throw new Error(`adapters differ together and alone at ${length} tokens`);
  }
  return { together: median(seconds.together), inTurn: median(seconds.inTurn) };
}

const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
try {
  const blobs = new Blobs(createObjectStore({ folder: join(work, 'objects') }));
  const base = join(root, 'samples/base');
  const files = [];
  for (const path of readdirSync(base)) files.push({ path, ...(await blobs.putFile(join(base, path))) });
  const { sha256 } = await blobs.putFile(join(root, 'samples/data/train.jsonl'));
  const inputs = {
    baseModel: { id: id('base'), name: 'sample', source: 'sample', revision: 'a'.repeat(40), files },
    dataset: { id: id('data'), sha256, format: 'chat' },
    cacheDir: join(work, 'cache'),
  };
  print(`sample base, ${count} jobs of ${steps} steps, one row a step, bf16, ${threads} threads\n`);
  print('tokens a row   together s   in turn s   ratio');
  const results = [];
  for (const length of flags.lengths.split(',').map(Number)) {
    const { together, inTurn } = await measure(work, inputs, length);
    results.push({ length, together, inTurn, ratio: inTurn / together });
    print(
      `${String(length).padStart(12)}${together.toFixed(2).padStart(13)}${inTurn.toFixed(2).padStart(12)}${(inTurn / together).toFixed(2).padStart(8)}`,
    );
  }
  writeResults('cotrain-jobs', { flags, results });
} finally {
  rmSync(work, { recursive: true, force: true });
}
