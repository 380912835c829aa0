// Packs the generated client as its users get it, installs it into an empty folder, and compiles the examples of its README there.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lowrank-client-'));
const run = (command, args, cwd, stdout = 'inherit') =>
  execFileSync(command, args, { cwd, stdio: ['ignore', stdout, 'inherit'], encoding: 'utf8' });
try {
  const pack = ['pack', '--json', '--pack-destination', folder];
  const [packed] = JSON.parse(run('npm', pack, join(root, 'libs/client'), 'pipe'));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', `./${packed.filename}`], folder);
  const readme = readFileSync(join(folder, 'node_modules/@lowrank/client/README.md'), 'utf8');
  const examples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, example]) => example);
  if (examples.length === 0) throw new Error('The README of the client has no examples.');
  writeFileSync(join(folder, 'examples.ts'), `declare const rows: string;\n${examples.join('\n')}`);
  const types = ['--typeRoots', join(root, 'node_modules/@types'), '--types', 'node'];
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', ...types];
  run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, 'examples.ts'], folder);
  process.stdout.write(
    `${packed.filename}: ${packed.entryCount} files, ${examples.length} examples compile.\n`,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
