// QLoRA training steps on a Llama-architecture model with random weights.
//
//   npm run bench:train               ours beside transformers + PEFT + bitsandbytes: the same model, tokens, dtype, checkpointing
//                                     and threads, in turn, in one run. Writes bench/results/train.json.
//   npm run bench:train -- --grow     ours alone, from 10M to 500M parameters and from 512 to 8,192 tokens, time against the
//                                     count of operations. Writes bench/results/train-grow.json.
//   options: --model 10M|50M|100M|500M  --rows 4  --length 512  --steps 3  --rounds 2  --dtype bf16|f32  --rank 16  --threads 2
//            --checkpointing on|off|both  --isa avx2 (both sides without AVX-512; other instruction sets of openKernels: ours alone)
//            --peer-isa auto (with --isa avx2: the peer takes what the machine has)  --no-peer
//            --longest-step 120 (seconds; --grow leaves out what would take longer)
//
// Needs the oracle, for the peer and for making the models (tools/oracle/setup.sh).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { library, makeModel, oracle, python, setUpOracle } from './models.mjs';
import { lastLine, measurePeak, median, print, root, run, writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: {
    grow: { type: 'boolean', default: false },
    model: { type: 'string', default: '50M' },
    rows: { type: 'string', default: '4' },
    length: { type: 'string', default: '512' },
    steps: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '2' },
    dtype: { type: 'string', default: 'bf16' },
    rank: { type: 'string', default: '16' },
    threads: { type: 'string', default: '2' },
    checkpointing: { type: 'string', default: 'both' },
    isa: { type: 'string', default: 'auto' },
    'peer-isa': { type: 'string' },
    'no-peer': { type: 'boolean', default: false },
    'longest-step': { type: 'string', default: '120' },
  },
});
const [threads, rank] = [Number(flags.threads), Number(flags.rank)];
const peersIsa = flags['peer-isa'] ?? (flags.isa === 'avx2' ? 'avx2' : 'auto');
// What torch's own loops, MKL and oneDNN read.
const peerIsa = { ATEN_CPU_CAPABILITY: 'avx2', MKL_ENABLE_INSTRUCTIONS: 'AVX2', ONEDNN_MAX_CPU_ISA: 'AVX2' };
const MiB = (bytes) => Math.round(bytes / 2 ** 20);

/** What the predictor says of the steps of bench/train-ours.mjs: a trainer without tokenizer, checkpoints and samples. */
async function predictedPeak(folder, { rows, length, checkpointing }) {
  const recipe = library('contracts').recipeSchema.parse({
    lora: { rank },
    training: { compute: flags.dtype, checkpointActivations: checkpointing },
  });
  const model = await library('datasets').inspectModelFolder(folder);
  const lengths = Array(rows).fill(length);
  const nothing = { dataset: { conversations: 0, tokens: 0 }, tokenizerBytes: 0 };
  const { bytes, parts } = library('domain').predictMemory({ model, recipe, lengths, threads, ...nothing });
  return bytes - parts.checkpoint - parts.beyondTraining;
}

/** A linear congruential sequence: what the tokens are does not matter, that both sides get the same ones does. */
function writeBatches(work, rows, length) {
  let state = 1;
  const next = () => (state = (state * 1103515245 + 12345) % 2147483648);
  const batches = Array.from({ length: 4 }, () =>
    Array.from({ length: rows * length }, () => 3 + (next() % 8000)),
  );
  const file = join(work, `${rows}x${length}.json`);
  writeFileSync(file, JSON.stringify({ rows, length, batches }));
  return file;
}

/** Floating-point operations of a step: 4N + 7sqL per token with nothing recomputed, 6N + 9sqL with full checkpointing. */
function operations({ linears, vocab, hidden, heads, headDim, layers }, { rows, length, checkpointing }) {
  const N = linears.reduce((sum, linear) => sum + linear.in * linear.out, 0) + vocab * hidden;
  const attention = length * heads * headDim * layers;
  return (checkpointing ? 6 * N + 9 * attention : 4 * N + 7 * attention) * rows * length;
}

const ours = (setting) =>
  lastLine(
    run(process.execPath, [
      join(root, 'bench/train-ours.mjs'),
      JSON.stringify({ isa: flags.isa, ...setting }),
    ]),
  );

function peer({ folder, batches, dtype, steps, warmup, checkpointing }) {
  const numbers = { steps, warmup, rank, threads };
  const options = Object.entries(numbers).flatMap(([key, value]) => [`--${key}`, String(value)]);
  return lastLine(
    run(
      python,
      [
        join(oracle, 'peer_step.py'),
        folder,
        batches,
        '--dtype',
        dtype,
        ...options,
        ...(checkpointing ? ['--checkpointing'] : []),
      ],
      peersIsa === 'avx2' ? peerIsa : {},
    ),
  );
}

/** `predictedBytes`: of our own steps. */
function summary(who, parts, info, shape, predictedBytes) {
  const seconds = median(parts.flatMap((part) => part.seconds));
  return {
    who,
    ...shape,
    seconds,
    tokensPerSecond: (shape.rows * shape.length) / seconds,
    gflops: operations(info, shape) / seconds / 1e9,
    peakBytes: median(parts.map((part) => part.peakBytes)),
    predictedBytes,
    losses: parts[0].losses,
  };
}

const heading =
  `${'who'.padEnd(22)}${'model'.padEnd(7)}${'tokens'.padStart(10)}  ${'checkpointing'.padEnd(14)}` +
  `${'s/step'.padStart(9)}${'tok/s'.padStart(9)}${'GFLOP/s'.padStart(10)}${'of peak'.padStart(9)}${'peak MiB'.padStart(10)}${'predicted'.padStart(11)}`;
const line = (r, peak) =>
  `${r.who.padEnd(22)}${r.model.padEnd(7)}${`${r.rows} × ${r.length}`.padStart(10)}  ${(r.checkpointing ? 'on' : 'off').padEnd(14)}` +
  `${r.seconds.toFixed(2).padStart(9)}${r.tokensPerSecond.toFixed(0).padStart(9)}${r.gflops.toFixed(0).padStart(10)}` +
  `${`${((100 * r.gflops) / peak).toFixed(0)} %`.padStart(9)}${String(MiB(r.peakBytes)).padStart(10)}` +
  `${(r.predictedBytes ? String(MiB(r.predictedBytes)) : '').padStart(11)}`;

async function compare(work, peak) {
  const [rows, length, model] = [Number(flags.rows), Number(flags.length), flags.model];
  const made = await makeModel(work, model, threads);
  const batches = writeBatches(work, rows, length);
  const modes = flags.checkpointing === 'both' ? [true, false] : [flags.checkpointing === 'on'];
  const results = [];
  print(`\n${heading}`);
  for (const checkpointing of modes) {
    const setting = { batches, dtype: flags.dtype, steps: Number(flags.steps), warmup: 1, checkpointing };
    const parts = { ours: [], peer: [] };
    for (let round = 0; round < Number(flags.rounds); round += 1) {
      parts.ours.push(ours({ ...setting, base: made.base, rank, threads }));
      if (!flags['no-peer']) parts.peer.push(peer({ ...setting, folder: made.folder }));
    }
    const shape = { model, rows, length, checkpointing };
    const info = parts.ours[0].base;
    const us = summary('Lowrank', parts.ours, info, shape, await predictedPeak(made.folder, shape));
    results.push(us);
    print(line(us, peak[flags.dtype]));
    if (parts.peer.length === 0) continue;
    const them = summary('PEFT + bitsandbytes', parts.peer, info, shape);
    results.push(them);
    print(line(them, peak[flags.dtype]));
    const times = (us.seconds / them.seconds).toFixed(2);
    print(`  ${times}× its time, ${(us.peakBytes / them.peakBytes).toFixed(2)}× its peak memory`);
  }
  writeResults('train', { flags, peakGflops: peak, results });
}

async function grow(work, peak) {
  const results = [];
  print(`\n${heading}`);
  for (const model of ['10M', '100M', '500M']) {
    const { base, folder } = await makeModel(work, model, threads);
    for (const length of [512, 2048, 8192]) {
      for (const checkpointing of [true, false]) {
        const shape = { model, rows: 1, length, checkpointing };
        const last = results.at(-1);
        // The step before this one tells what to expect; attention makes long ones dearer than in proportion.
        const expected =
          last?.model === model ? (last.seconds * length * length) / last.length / last.length : 0;
        if (expected > Number(flags['longest-step'])) {
          print(`  ${model}, ${length} tokens: left out, about ${expected.toFixed(0)} s a step`);
          continue;
        }
        const batches = writeBatches(work, 1, length);
        // A step of a minute does not need another to warm up.
        const counts = expected > 60 ? { steps: 1, warmup: 0 } : { steps: 2, warmup: 1 };
        const setting = { base, batches, dtype: flags.dtype, ...counts, checkpointing, rank, threads };
        const part = ours(setting);
        results.push(summary('Lowrank', [part], part.base, shape, await predictedPeak(folder, shape)));
        print(line(results.at(-1), peak[flags.dtype]));
      }
    }
  }
  writeResults('train-grow', { flags, peakGflops: peak, results });
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-'));
try {
  const peak = measurePeak(threads, flags.isa);
  print(
    `machine peak (register-only loop): ${peak.f32} GFLOP/s f32, ${peak.bf16} bf16; ${flags.dtype}, instructions ${flags.isa} (the peer's ${peersIsa}), rank ${rank}, ${threads} threads`,
  );
  await (flags.grow ? grow : compare)(work, peak);
} finally {
  rmSync(work, { recursive: true, force: true });
}
