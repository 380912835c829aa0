// Eight adapters of different ranks on one base: one step that trains them together against eight steps in turn, the same rows. What
// each adapter gets is the same, byte for byte; this compares the losses and times both, in turn, in one process.
//
//   npm run bench:cotrain -- [--model 100M] [--lengths 32,64,128,256] [--rounds 5] [--dtype bf16|f32] [--threads 2] [--checkpointing on|off]
//
// Writes bench/results/cotrain.json. Needs the oracle, for making the model (tools/oracle/setup.sh).
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeModel, openKernels, setUpOracle } from './models.mjs';
import { median, optimizer, print, writeResults } from './results.mjs';

const ranks = [4, 8, 8, 16, 16, 32, 32, 64];
const { values: flags } = parseArgs({
  options: {
    model: { type: 'string', default: '100M' },
    lengths: { type: 'string', default: '32,64,128,256' },
    rounds: { type: 'string', default: '5' },
    dtype: { type: 'string', default: 'bf16' },
    threads: { type: 'string', default: '2' },
    checkpointing: { type: 'string', default: 'on' },
  },
});

/** A row for each adapter, one after the other: {tokens, targets, starts}. */
function makeRows(length) {
  const tokens = Int32Array.from({ length: ranks.length * length }, (_, i) => 3 + ((i * 7919) % 8000));
  const targets = tokens.map((_, i) => ((i + 1) % length === 0 ? -100 : tokens[i + 1]));
  return { tokens, targets, starts: Int32Array.from({ length: ranks.length + 1 }, (_, i) => i * length) };
}
const rowOf = ({ tokens, targets }, index, length) => ({
  tokens: tokens.slice(index * length, (index + 1) * length),
  targets: targets.slice(index * length, (index + 1) * length),
  starts: Int32Array.of(0, length),
});

async function measure(base, length, rounds) {
  const create = () =>
    ranks.map((rank, index) =>
      base.createAdapter({
        targets: base.info.linears.map(({ name }) => ({ name, rank, scale: 2 })),
        dropout: 0,
        seed: BigInt(index),
      }),
    );
  const options = { checkpointActivations: flags.checkpointing === 'on' };
  const rows = makeRows(length);
  const entry = (adapter, begin) => ({ adapter, begin, end: begin + length, lossScale: 1 / (length - 1) });
  const [together, alone] = [create(), create()];
  const timed = async (work) => {
    const started = performance.now();
    const losses = await work();
    return { seconds: (performance.now() - started) / 1000, losses };
  };
  const seconds = { together: [], alone: [] };
  for (let round = 0; round <= rounds; round += 1) {
    const one = await timed(async () => {
      const losses = await base.trainStep(
        rows,
        together.map((adapter, i) => entry(adapter, i * length)),
        options,
      );
      for (const adapter of together) await adapter.optimizerStep(optimizer);
      return losses.map(({ sum }) => sum);
    });
    const eight = await timed(async () => {
      const losses = [];
      for (const [i, adapter] of alone.entries()) {
        const [loss] = await base.trainStep(rowOf(rows, i, length), [entry(adapter, 0)], options);
        await adapter.optimizerStep(optimizer);
        losses.push(loss.sum);
      }
      return losses;
    });
    if (JSON.stringify(one.losses) !== JSON.stringify(eight.losses))
      throw new Error(`losses differ together and alone: ${one.losses} and ${eight.losses}`);
    if (round === 0) continue;
    seconds.together.push(one.seconds);
    seconds.alone.push(eight.seconds);
  }
  for (const adapter of [...together, ...alone]) adapter.close();
  return { together: median(seconds.together), alone: median(seconds.alone) };
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
const kernels = openKernels({ compute: flags.dtype, threads: Number(flags.threads) });
try {
  const made = await makeModel(work, flags.model, Number(flags.threads));
  print(
    `${flags.model}, ${ranks.length} adapters of rank ${ranks.join(', ')}, one row each, ${flags.dtype}, ${flags.threads} threads, checkpointing ${flags.checkpointing}\n`,
  );
  print('tokens a row   together s   in turn s   tokens/s together   in turn   ratio');
  const base = await kernels.openBase(made.base);
  const results = [];
  for (const length of flags.lengths.split(',').map(Number)) {
    const { together, alone } = await measure(base, length, Number(flags.rounds));
    const tokens = ranks.length * length;
    results.push({ length, together, alone, ratio: alone / together });
    print(
      `${String(length).padStart(12)}${together.toFixed(3).padStart(13)}${alone.toFixed(3).padStart(12)}` +
        `${(tokens / together).toFixed(0).padStart(20)}${(tokens / alone).toFixed(0).padStart(10)}${(alone / together).toFixed(2).padStart(8)}`,
    );
  }
  base.close();
  writeResults('cotrain', { flags, ranks, results });
} finally {
  kernels.close();
  rmSync(work, { recursive: true, force: true });
}
