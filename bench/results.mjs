// What all benchmarks share: running programs, medians, and results that say on which commit and machine they were taken.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a program to its end, with these variables beside the environment's, and returns what it wrote; throws when it fails. */
export const run = (command, args, variables = {}) =>
  execFileSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 2 ** 26,
    env: { ...process.env, ...variables },
  });

export const print = (text) => process.stdout.write(`${text}\n`);

/** The settings of AdamW that every training step of a benchmark takes. */
export const optimizer = {
  learningRate: 2e-4,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/** The JSON in the last line of a program's output. */
export const lastLine = (text) => JSON.parse(text.trim().split('\n').at(-1));

export const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Instruction sets that benchmarks can be held to, as openKernels names them, and their level of lr_isa. */
const levels = { avx2: 2, avx512: 3, avx512_bf16: 4, amx_bf16: 5 };

/** The level of an instruction set as an argument of a program of libs/kernels/bench; none for 'auto'. */
export function levelOf(isa) {
  if (isa === 'auto') return [];
  if (!(isa in levels)) throw new Error(`--isa is auto or ${Object.keys(levels).join(', ')}, not ${isa}`);
  return [String(levels[isa])];
}

/** GFLOP/s of `threads` threads by multiply-adds that never leave the registers: {f32, bf16}. */
export function measurePeak(threads, isa = 'auto') {
  run('make', ['-C', join(root, 'libs/kernels'), '-s', 'build/peak_bench']);
  return lastLine(run(join(root, 'libs/kernels/build/peak_bench'), [String(threads), ...levelOf(isa)]));
}

/** Writes bench/results/<name>.json. */
export function writeResults(name, results) {
  const folder = join(root, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const commit = run('git', ['-C', root, 'rev-parse', '--short', 'HEAD']).trim();
  const machine = { cpu: cpus()[0].model, cores: cpus().length };
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify({ date, commit, machine, ...results }, null, 2)}\n`,
  );
}
