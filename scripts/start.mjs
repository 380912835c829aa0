// npm start: sets the clone up and starts Lowrank, trains the sample job and shows what it learned. Arguments go to
// `lowrank up --sample`, e.g. `npm start -- --exit` stops everything again afterwards.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root, runScript, setUp } from './setup.mjs';

await runScript(async () => {
  process.stdout.write('Setting up\n');
  await setUp();
  const child = spawn(
    process.execPath,
    [join(root, 'bin', 'lowrank.mjs'), 'up', '--sample', ...process.argv.slice(2)],
    { stdio: 'inherit' },
  );
  // The terminal sends Ctrl-C to both processes and a service manager may signal only this one; the child ends in its own time.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  await new Promise((resolve) => {
    child.on('exit', (code, signal) => {
      process.exitCode = code ?? (signal === 'SIGINT' ? 130 : 1);
      resolve();
    });
  });
});
