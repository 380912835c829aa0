// One process of bench/train.mjs: our training steps on the batches file that the peer gets too. Prints one JSON line.
//   node bench/train-ours.mjs '{"base", "batches", "dtype", "steps", "warmup", "checkpointing", "rank", "threads", "isa"}'
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { optimizer } from './results.mjs';

const require = createRequire(import.meta.url);
const { openKernels } = require('../dist/libs/kernels/src/index.js');
require('../dist/apps/trainer/src/attempt.js'); // the code that a trainer has in memory
const setting = JSON.parse(process.argv[2]);
const { rows, length, batches } = JSON.parse(readFileSync(setting.batches, 'utf8'));

const kernels = openKernels({ compute: setting.dtype, isa: setting.isa, threads: setting.threads });
const base = await kernels.openBase(setting.base);
const adapter = base.createAdapter({
  targets: base.info.linears.map(({ name }) => ({ name, rank: setting.rank, scale: 2 })),
  dropout: 0,
  seed: 0n,
});
const starts = Int32Array.from({ length: rows + 1 }, (_, row) => row * length);
const lossTokens = rows * (length - 1);

const seconds = [];
const losses = [];
for (let step = 0; step < setting.warmup + setting.steps; step += 1) {
  const tokens = Int32Array.from(batches[step % batches.length]);
  const targets = tokens.map((_, i) => ((i + 1) % length === 0 ? -100 : tokens[i + 1]));
  const started = performance.now();
  const [loss] = await base.trainStep(
    { tokens, targets, starts },
    [{ adapter, begin: 0, end: tokens.length, lossScale: 1 / lossTokens }],
    { checkpointActivations: setting.checkpointing },
  );
  await adapter.optimizerStep(optimizer);
  if (step >= setting.warmup) seconds.push((performance.now() - started) / 1000);
  losses.push(loss.sum / loss.tokens);
}
const peakBytes = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
process.stdout.write(
  `${JSON.stringify({ seconds, losses, peakBytes, info: kernels.info, base: base.info })}\n`,
);
