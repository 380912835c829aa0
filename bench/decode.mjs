// One decode step for many sequences: tokens/s by batch, of the bare base, of one adapter for all rows, and of an adapter for each row, in floats
// and in bfloat16; at a batch of one, what share of the rate at which as many threads read memory the weights are read at. Settings take turns in one process.
//
//   npm run bench:decode -- [--model 100M] [--batches 1,8,32,256] [--rank 16] [--past 16] [--rounds 5] [--dtype f32|bf16] [--threads 2]
//
// Writes bench/results/decode.json. Needs the oracle, for making the model (tools/oracle/setup.sh).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fill, makeAdapter, measure, weightBytes } from './decode-step.mjs';
import { makeModel, openKernels, setUpOracle } from './models.mjs';
import { measurePeak, print, writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: '100M' },
    batches: { type: 'string', default: '1,8,32,256' },
    rank: { type: 'string', default: '16' },
    past: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    dtype: { type: 'string', default: 'f32' },
    threads: { type: 'string', default: '2' },
  },
});
const [rank, past, rounds, threads] = [flags.rank, flags.past, flags.rounds, flags.threads].map(Number);
const batches = flags.batches.split(',').map(Number);

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-decode-'));
try {
  const { base: file } = await makeModel(work, flags.model, threads);
  const kernels = openKernels({ threads, compute: flags.dtype });
  const base = await kernels.openBase(file);
  const most = Math.max(...batches);
  const adapters = { f32: [], bf16: [] };
  const cache = base.openCache({ pageTokens: past + 1, pages: most });
  await fill(cache, most, past);
  const results = [];
  for (const batch of batches) {
    for (const [dtype, kept] of Object.entries(adapters))
      while (kept.length < batch) kept.push(makeAdapter(base, rank, kept.length, dtype));
    const tokens = await measure(adapters, cache, { batch, past, rounds });
    results.push({ batch, tokens });
    const bare = tokens.base;
    print(`batch ${batch}: base ${bare.toFixed(1)} tokens/s`);
    for (const dtype of Object.keys(adapters)) {
      const [one, each] = ['one adapter', 'an adapter each'].map((name) => tokens[`${name}, ${dtype}`]);
      print(
        `  ${dtype}: one adapter ${one.toFixed(1)} (${(one / bare).toFixed(2)}× the base), ` +
          `an adapter each ${each.toFixed(1)} (${(each / one).toFixed(2)}× one adapter)`,
      );
    }
  }
  const single = results.find(({ batch }) => batch === 1);
  const { read } = measurePeak(threads);
  const share = single && (single.tokens.base * weightBytes(base.info)) / (read * 1e9);
  if (share !== undefined)
    print(
      `batch 1 reads weights at ${Math.round(share * 100)} % of what ${threads} threads read at, ${read} GB/s`,
    );
  writeResults('decode', { flags, kernels: kernels.info, read, share, results });
  for (const handle of [cache, ...Object.values(adapters).flat(), base, kernels]) handle.close();
} finally {
  rmSync(work, { recursive: true, force: true });
}
