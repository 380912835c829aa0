// Every operation of the kernel library: time, GFLOP/s, share of the machine's measured peak, bytes moved. Prints the table of
// libs/kernels/bench/ops_bench.cpp and writes bench/results/kernels.json.
//
//   npm run bench:kernels -- [--threads 2] [--isa avx2|avx512|avx512_bf16|amx_bf16]
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { levelOf, root, run, writeResults } from './results.mjs';

const { values: flags } = parseArgs({
  options: { threads: { type: 'string', default: '2' }, isa: { type: 'string', default: 'auto' } },
});
const kernels = join(root, 'libs/kernels');
run('make', ['-C', kernels, '-s', 'build/ops_bench']);
const table = run(join(kernels, 'build/ops_bench'), [flags.threads, ...levelOf(flags.isa)]);
process.stdout.write(table);

const results = [];
let setting = '';
for (const line of table.split('\n')) {
  const [, name, ms, gflops, share, megabytes, gigabytesPerSecond] =
    /^(.+?) +([\d.]+) ms +(?:([\d.]+) GFLOP\/s +([\d.]+) % of peak)? +([\d.]+) MB +([\d.]+) GB\/s$/.exec(
      line,
    ) ?? [];
  if (name === undefined) setting = line.trim() || setting;
  else {
    const figures = { ms, gflops, percentOfPeak: share, megabytes, gigabytesPerSecond };
    const known = Object.entries(figures).filter(([, value]) => value !== undefined);
    results.push({
      setting,
      name,
      ...Object.fromEntries(known.map(([key, value]) => [key, Number(value)])),
    });
  }
}
writeResults('kernels', { flags, results });
