// Fuzzes the kernel library's parsers (libs/kernels/fuzz) under the sanitizers, one program after the other.
//
//   npm run fuzz:kernels -- [--seconds 60 (each)] [--only base]
//
// Needs clang with its runtime library (Debian: clang, libclang-rt-dev); CLANG names another compiler. The corpus is kept in
// libs/kernels/build/fuzz/corpus, so that a later run goes on where this one ended. Exit code 0: nothing was found.
import { Buffer } from 'node:buffer';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const kernels = fileURLToPath(new URL('../libs/kernels', import.meta.url));
const fixtures = join(kernels, 'test/fixtures');
const build = join(kernels, 'build/fuzz');
const { values: flags } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, only: { type: 'string' } },
});

function must(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) {
    process.stderr.write(`${command} failed: ${status}\n`);
    process.exit(1);
  }
}

const fixture = (name) => JSON.parse(readFileSync(join(fixtures, name, 'config.json'), 'utf8'));
const models = readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, 'config.json')));

/** A configuration with the smallest sizes that still differ from each other: a fuzzer tries more of small inputs. */
function shrunk(config) {
  const small = {
    vocab_size: 12,
    hidden_size: 8,
    intermediate_size: 6,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 4,
  };
  return { ...config, ...small };
}

/** Small configurations of every architecture, every RoPE type and every kind of quantized checkpoint. */
function configurations() {
  const made = Object.fromEntries(models.map((name) => [name, shrunk(fixture(name))]));
  const llama = { ...made.llama };
  delete llama.rope_parameters;
  const ropes = {
    linear: { factor: 2 },
    dynamic: { factor: 4 },
    yarn: { factor: 4, original_max_position_embeddings: 4, beta_fast: 32 },
    longrope: { original_max_position_embeddings: 4, short_factor: [1, 1.5], long_factor: [2, 3] },
  };
  for (const [type, settings] of Object.entries(ropes))
    made[type] = { ...llama, max_position_embeddings: 8, rope_parameters: { rope_type: type, ...settings } };
  made.phi3.rope_parameters = {
    ...made.phi3.rope_parameters,
    partial_rotary_factor: 0.5,
    short_factor: [1],
    long_factor: [2],
  };
  made.mistral = { ...llama, model_type: 'mistral', sliding_window: 2 };
  made.qwen3 = {
    ...llama,
    model_type: 'qwen3',
    use_sliding_window: true,
    sliding_window: 2,
    max_window_layers: 1,
  };
  made.gemma3_whole = { model_type: 'gemma3', text_config: made.gemma3 };
  const quantized = {
    nf4: { load_in_4bit: true, bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true },
    fp4: { load_in_4bit: true, bnb_4bit_quant_type: 'fp4' },
    int8: { load_in_8bit: true },
  };
  for (const [name, settings] of Object.entries(quantized))
    made[name] = { ...llama, quantization_config: { quant_method: 'bitsandbytes', ...settings } };
  return Object.entries(made).map(([name, config]) => [name, JSON.stringify(config)]);
}

function writeConfigurations(folder, choices) {
  for (const [name, text] of configurations()) writeFileSync(join(folder, name), text + choices);
}

/** A safetensors file with a tensor of each dtype, among them one of no dimension and one of no values. */
function everyDtype() {
  const widths = { F32: 4, F16: 2, BF16: 2, I8: 1, U8: 1, BOOL: 1, I64: 8, F64: 8 };
  const header = { __metadata__: { format: 'pt' } };
  let at = 0;
  Object.entries(widths).forEach(([dtype, width], i) => {
    const shape = [[], [0], [3], [2, 3]][i % 4];
    const begin = at;
    at += width * shape.reduce((product, size) => product * size, 1);
    header[`model.layers.${i}.weight`] = { dtype, shape, data_offsets: [begin, at] };
  });
  const json = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([size, json, Buffer.alloc(at, 0x3c)]);
}

// What base and checkpoint make of a configuration is in fuzz/support/made_model.h; the letters are choices of theirs.
const seeds = {
  config: (folder) => writeConfigurations(folder, ''),
  safetensors: (folder) => writeFileSync(join(folder, 'every-dtype'), everyDtype()),
  base: (folder) => writeConfigurations(folder, 'abcdefghij'),
  checkpoint: (folder) => writeConfigurations(folder, 'abcdefghij'),
};

must('make', ['-C', kernels, '-s', '-j2', 'fuzz', `CLANG=${process.env.CLANG ?? 'clang++'}`]);
for (const [name, makeSeeds] of Object.entries(seeds)) {
  if (flags.only && flags.only !== name) continue;
  const folder = join(build, 'corpus', name);
  mkdirSync(folder, { recursive: true });
  makeSeeds(folder);
  must(join(build, `${name}_fuzz`), [
    `-max_total_time=${flags.seconds}`,
    '-max_len=262144',
    '-timeout=120', // a loaded machine lets a process wait for most of a minute
    '-rss_limit_mb=2048',
    '-print_final_stats=1',
    '-verbosity=0',
    `-artifact_prefix=${join(build, `${name}-finding-`)}`,
    folder,
  ]);
  process.stdout.write(`${name}: nothing found in ${flags.seconds} s\n`);
}
