// npm test: sets the clone up, then runs the kernels' native tests and Jest. With arguments, e.g. `npm test -- libs/db`, only Jest
// with those. The last line is the sum of both: `N passed, N failed`.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, runScript, setUp } from './setup.mjs';

/** Runs a command with its output shown; resolves to its exit code and that output. */
function show(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.setEncoding('utf8').on('data', (text) => {
        output += text;
        to.write(text);
      });
    }
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/** Sums of every `N passed, N failed` line of the native test programs. */
function nativeCounts(output) {
  const lines = [...output.matchAll(/(\d+) passed, (\d+) failed/g)];
  return {
    passed: lines.reduce((sum, line) => sum + Number(line[1]), 0),
    failed: lines.reduce((sum, line) => sum + Number(line[2]), 0),
  };
}

await runScript(async () => {
  const args = process.argv.slice(2);
  await setUp();
  let passed = 0;
  let failed = 0;
  if (args.length === 0) {
    const native = await show('make', [
      '-C',
      'libs/kernels',
      '-s',
      '-O',
      `-j${availableParallelism()}`,
      'test',
    ]);
    const counts = nativeCounts(native.output);
    passed += counts.passed;
    // A program that crashed before its closing line counts as one failure.
    failed += counts.failed || (native.code === 0 ? 0 : 1);
  }
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-test-'));
  try {
    const results = join(folder, 'results.json');
    const jest = await show(process.execPath, [
      join('node_modules', 'jest', 'bin', 'jest.js'),
      ...args,
      '--json',
      `--outputFile=${results}`,
    ]);
    let summary;
    try {
      summary = JSON.parse(readFileSync(results, 'utf8'));
    } catch {
      summary = { numPassedTests: 0, numFailedTests: 0, numRuntimeErrorTestSuites: 1, success: false };
    }
    passed += summary.numPassedTests;
    failed += summary.numFailedTests + summary.numRuntimeErrorTestSuites;
    if (jest.code !== 0 && failed === 0) failed = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
});
