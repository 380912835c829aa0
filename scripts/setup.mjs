// Makes a clone ready to run: checks the machine, installs packages, builds the kernels, the Prisma client and dist/. Every part
// is skipped when it is up to date, so running it again takes seconds. Plain Node: it must run before anything is installed.
import { Buffer } from 'node:buffer';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
const oldestNode = [20, 19];

/** What stopped the set-up, in words for the person at the keyboard. */
export class SetupError extends Error {}

/** Throws SetupError naming what this machine lacks and which package has it. */
function checkMachine() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    throw new SetupError(
      `Node ${oldestNode.join('.')} or newer is needed; this is ${process.versions.node}. Install it from https://nodejs.org or with your version manager.`,
    );
  }
  const compiler = process.env.CXX || 'g++';
  const missing = [compiler, 'make'].filter(
    (tool) => spawnSync(tool, ['--version'], { stdio: 'ignore' }).status !== 0,
  );
  if (missing.length > 0) {
    throw new SetupError(
      `${missing.join(' and ')} not found, needed to build the kernel library.\n` +
        '  Debian, Ubuntu:  sudo apt-get install g++ make\n' +
        '  Fedora:          sudo dnf install gcc-c++ make\n' +
        '  macOS:           xcode-select --install',
    );
  }
}

/** Whether node_modules holds what package-lock.json asks for, by npm's own record of what it installed. */
function packagesAreCurrent() {
  const record = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(
    // The root has no entry of its own; optional packages of other platforms are rightly absent.
    ([path, { version, optional }]) => path === '' || optional || installed[path]?.version === version,
  );
}

/** Runs a command in the root; its output is kept back and shown only if it fails, unless `loud`. */
function quietly(command, args, { loud }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    const kept = [];
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => (loud ? process.stdout.write(chunk) : kept.push(chunk)));
    }
    child.on('error', (error) => reject(new SetupError(`${command} could not be started: ${error.message}`)));
    child.on('close', (code, signal) => {
      if (code === 0) return resolve();
      const tail = Buffer.concat(kept).toString().trimEnd().split('\n').slice(-60).join('\n');
      reject(
        new SetupError(`${tail}\n\n${command} ${args.join(' ')} failed (${signal ?? `exit code ${code}`})`),
      );
    });
  });
}

/** Sets the clone up; `loud` shows the tools' own output. Throws SetupError. */
export async function setUp({ loud = false } = {}) {
  const step = async (name, work) => {
    const started = Date.now();
    const overwrite = process.stdout.isTTY && !loud;
    process.stdout.write(overwrite ? `  … ${name}` : `  … ${name}\n`);
    try {
      await work();
    } finally {
      if (overwrite) process.stdout.write('\r\u001b[K');
    }
    process.stdout.write(`  ✓ ${name}  ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  };
  checkMachine();
  if (!packagesAreCurrent()) {
    await step('packages', () => quietly('npm', ['ci', '--no-audit', '--no-fund'], { loud }));
  }
  // Nx knows by content what is up to date; each of these is a fraction of a second then.
  await step('kernels, database client, compiled sources, dashboard', () =>
    quietly(join('node_modules', '.bin', 'nx'), ['run-many', '--targets=native,generate,compile,bundle'], {
      loud,
    }),
  );
}

/** Runs `main`, turning a SetupError into its message and exit code 1. */
export async function runScript(main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`\n${error.message}\n`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await runScript(() => setUp({ loud: process.argv.includes('--verbose') }));
}
