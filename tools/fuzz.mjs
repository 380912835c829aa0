// Fuzzes the kernel library's parsers (libs/kernels/fuzz) under the sanitizers, one program after the other.
//
//   npm run fuzz:kernels -- [--seconds 60 (each)] [--only base]
//
// Needs clang with its runtime library (Debian: clang, libclang-rt-dev); CLANG names another compiler. The corpus is kept in
// libs/kernels/build/fuzz/corpus, so that a later run goes on where this one ended. Exit code 0: nothing was found.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
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

const models = readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, 'config.json')));
const seeds = {
  config: (folder) => {
    for (const name of models) copyFileSync(join(fixtures, name, 'config.json'), join(folder, name));
  },
  safetensors: (folder) => {
    for (const name of models) {
      for (const file of readdirSync(join(fixtures, name)).filter((one) => one.endsWith('.safetensors')))
        copyFileSync(join(fixtures, name, file), join(folder, `${name}-${file}`));
    }
  },
  base: async (folder) => {
    const { openKernels } = createRequire(import.meta.url)('../dist/libs/kernels/src/index.js');
    const library = openKernels({ threads: 1 });
    for (const name of models) await library.quantizeBase(join(fixtures, name), join(folder, name));
    library.close();
  },
};

must('make', ['-C', kernels, '-s', '-j2', 'fuzz', `CLANG=${process.env.CLANG ?? 'clang++'}`]);
for (const [name, makeSeeds] of Object.entries(seeds)) {
  if (flags.only && flags.only !== name) continue;
  const folder = join(build, 'corpus', name);
  mkdirSync(folder, { recursive: true });
  await makeSeeds(folder);
  must(join(build, `${name}_fuzz`), [
    `-max_total_time=${flags.seconds}`,
    '-max_len=262144',
    '-timeout=10',
    '-rss_limit_mb=2048',
    '-print_final_stats=1',
    '-verbosity=0',
    `-artifact_prefix=${join(build, `${name}-finding-`)}`,
    folder,
  ]);
  process.stdout.write(`${name}: nothing found in ${flags.seconds} s\n`);
}
