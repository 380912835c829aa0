import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { root } from './harness/servers';
import { type Row } from './run';
import { type Scale } from './suite';

/** Prints the table, and writes bench/results/failures.json with commit and machine. */
export function writeFailures(rows: readonly Row[], scale: Scale): void {
  const table = [
    ['', 'broken', 'required', 'figure', 's', ''],
    ...rows.map(({ failure, figure, seconds, state }) => [
      failure.id,
      failure.broken,
      failure.required,
      figure,
      seconds.toFixed(0),
      state,
    ]),
  ];
  const widths =
    table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? [];
  const lines = table.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const count = (state: Row['state']): number => rows.filter((row) => row.state === state).length;
  process.stdout.write(
    `\n${lines.join('\n')}\n\n${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped\n`,
  );

  const folder = join(root, 'bench/results');
  mkdirSync(folder, { recursive: true });
  const commit = execFileSync('git', ['-C', root, 'rev-parse', '--short', 'HEAD'], {
    encoding: 'utf8',
  }).trim();
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length };
  const date = new Date().toISOString().slice(0, 10);
  const { quick, nativeSeconds, seed } = scale;
  const results = { date, commit, machine, quick, nativeSeconds, seed, rows };
  writeFileSync(join(folder, 'failures.json'), `${JSON.stringify(results, null, 2)}\n`);
}
