// One QLoRA training step: ours beside transformers + PEFT + bitsandbytes, on the same model, tokens, dtype, checkpointing and
// threads, in one run and in turn. Prints a table and writes bench/results/train.json.
//
//   npm run bench:train -- [--steps 3] [--rounds 2] [--no-peer] [--dtype bf16] [--checkpointing on|off|both]
//                          [--rows 4] [--length 512] [--rank 16] [--threads 2]
//
// Needs the oracle for the peer and for making the random model (tools/oracle/setup.sh).
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const oracle = join(root, 'tools/oracle');
const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '2' },
    dtype: { type: 'string', default: 'bf16' },
    checkpointing: { type: 'string', default: 'both' },
    rows: { type: 'string', default: '4' },
    length: { type: 'string', default: '512' },
    rank: { type: 'string', default: '16' },
    threads: { type: 'string', default: '2' },
    'no-peer': { type: 'boolean', default: false },
  },
});
const rows = Number(flags.rows);
const length = Number(flags.length);

execFileSync(join(oracle, 'setup.sh'), { stdio: 'inherit' });
const python = join(oracle, '.venv/bin/python');
const run = (command, args) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 2 ** 26 });
const lastLine = (text) => JSON.parse(text.trim().split('\n').at(-1));
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const MiB = (bytes) => (bytes / 2 ** 20).toFixed(0);

const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
try {
  const model = join(work, 'model');
  process.stdout.write('making a random model … ');
  run(python, [join(oracle, 'make_random_model.py'), model]);
  const { openKernels } = createRequire(import.meta.url)('../dist/libs/kernels/src/index.js');
  const kernels = openKernels({ threads: Number(flags.threads) });
  const quantized = join(work, 'base.lrq');
  const started = performance.now();
  await kernels.quantizeBase(model, quantized);
  process.stdout.write(
    `quantized in ${((performance.now() - started) / 1000).toFixed(1)} s, ${MiB(statSync(quantized).size)} MiB\n`,
  );
  kernels.close();
  run('make', ['-C', join(root, 'libs/kernels'), '-s', 'build/peak_bench']);
  const peak = lastLine(run(join(root, 'libs/kernels/build/peak_bench'), [flags.threads]));

  // A linear congruential sequence: what the tokens are does not matter, that both sides get the same ones does.
  let state = 1;
  const next = () => (state = (state * 1103515245 + 12345) % 2147483648);
  const batches = Array.from({ length: 4 }, () =>
    Array.from({ length: rows * length }, () => 3 + (next() % 8000)),
  );
  const batchesFile = join(work, 'batches.json');
  writeFileSync(batchesFile, JSON.stringify({ rows, length, batches }));

  const modes = flags.checkpointing === 'both' ? [true, false] : [flags.checkpointing === 'on'];
  const results = [];
  for (const checkpointing of modes) {
    const ours = [];
    const peer = [];
    for (let round = 0; round < Number(flags.rounds); round += 1) {
      ours.push(
        lastLine(
          run(process.execPath, [
            join(root, 'bench/train-ours.mjs'),
            quantized,
            batchesFile,
            flags.dtype,
            flags.steps,
            '1',
            String(checkpointing),
            flags.rank,
            flags.threads,
          ]),
        ),
      );
      if (!flags['no-peer']) {
        peer.push(
          lastLine(
            run(python, [
              join(oracle, 'peer_step.py'),
              model,
              batchesFile,
              '--dtype',
              flags.dtype,
              '--steps',
              flags.steps,
              '--warmup',
              '1',
              '--rank',
              flags.rank,
              '--threads',
              flags.threads,
              ...(checkpointing ? ['--checkpointing'] : []),
            ]),
          ),
        );
      }
    }
    const info = ours[0].base;
    const N =
      info.linears.reduce((sum, linear) => sum + linear.in * linear.out, 0) + info.vocab * info.hidden;
    const attention = length * info.heads * info.headDim * info.layers;
    const flop = (checkpointing ? 6 * N + 9 * attention : 4 * N + 7 * attention) * rows * length;
    const summary = (who, parts) => ({
      who,
      checkpointing,
      seconds: median(parts.flatMap((part) => part.seconds)),
      tokensPerSecond: (rows * length) / median(parts.flatMap((part) => part.seconds)),
      gflops: flop / median(parts.flatMap((part) => part.seconds)) / 1e9,
      peakBytes: median(parts.map((part) => part.peakBytes)),
      losses: parts[0].losses,
    });
    results.push(summary('Lowrank', ours), ...(peer.length ? [summary('PEFT + bitsandbytes', peer)] : []));
    results.linear = N;
  }

  const share = peak[flags.dtype];
  process.stdout.write(
    `\n${(results.linear / 1e6).toFixed(1)} M parameters in matrix products, ${rows} × ${length} tokens, ${flags.dtype}, rank ${flags.rank}, ${flags.threads} threads\n` +
      `machine peak (register-only loop): ${peak.f32.toFixed(0)} GFLOP/s f32, ${peak.bf16.toFixed(0)} bf16\n\n` +
      `${'who'.padEnd(22)}${'checkpointing'.padEnd(15)}${'s/step'.padStart(8)}${'tok/s'.padStart(9)}${'GFLOP/s'.padStart(10)}${'of peak'.padStart(9)}${'peak MiB'.padStart(10)}\n`,
  );
  for (const r of results) {
    process.stdout.write(
      `${r.who.padEnd(22)}${(r.checkpointing ? 'on' : 'off').padEnd(15)}${r.seconds.toFixed(2).padStart(8)}${r.tokensPerSecond.toFixed(0).padStart(9)}` +
        `${r.gflops.toFixed(0).padStart(10)}${`${((100 * r.gflops) / share).toFixed(0)} %`.padStart(9)}${MiB(r.peakBytes).padStart(10)}\n`,
    );
  }
  for (let i = 0; i + 1 < results.length && !flags['no-peer']; i += 2) {
    const [ours, peer] = [results[i], results[i + 1]];
    process.stdout.write(
      `checkpointing ${ours.checkpointing ? 'on' : 'off'}: ${(ours.seconds / peer.seconds).toFixed(2)}× the peer's time, ` +
        `${(ours.peakBytes / peer.peakBytes).toFixed(2)}× its peak memory\n`,
    );
  }
  const out = join(root, 'bench/results');
  if (!existsSync(out)) mkdirSync(out, { recursive: true });
  const commit = run('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).trim();
  const machine = { cpu: cpus()[0].model, cores: cpus().length, peakGflops: peak };
  writeFileSync(
    join(out, 'train.json'),
    `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), commit, machine, flags, results }, null, 2)}\n`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
