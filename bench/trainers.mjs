// Trainers as workers start them, and how much memory they take.
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';
import { library, makeFolder, openKernels } from './models.mjs';
import { root } from './results.mjs';

const { inspectModelFolder } = library('datasets');
const { Blobs, createObjectStore } = library('storage');
const { modelKey, quantizedBasePath } = library('training');

export const MiB = (bytes) => Math.round(bytes / 2 ** 20);
export const id = (kind) => `${kind}_${'a'.repeat(24)}`;
export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Rows whose answers fill `length` tokens and more, or are short where there are many. */
export function dataset(format, length, conversations) {
  const word = (i) => `${['lake', 'stone', 'river', 'cloud'][i % 4]} ${i} `;
  const answer = (seed) => Array.from({ length }, (_, i) => word(seed * 31 + i)).join('');
  const lines = Array.from({ length: conversations }, (_, i) =>
    format === 'preference'
      ? { prompt: word(i), chosen: answer(i), rejected: answer(i + 1) }
      : {
          messages: [
            { role: 'user', content: word(i) },
            { role: 'assistant', content: answer(i) },
          ],
        },
  );
  return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
}

/** Highest VmHWM of a process while it lives. */
function watch(pid) {
  let peak = 0;
  const look = () => {
    try {
      const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      peak = Math.max(peak, Number(kibibytes ?? 0) * 1024);
    } catch {
      // gone
    }
  };
  const timer = setInterval(look, 20);
  return { look, stop: () => (clearInterval(timer), peak) };
}

/** Runs a trainer to its end: its peak, what it published, and how long it took. */
async function runTrainer(home, assignment) {
  const started = performance.now();
  const child = fork(join(root, 'dist/apps/trainer/src/main.js'), [], {
    env: { PATH: process.env.PATH, LOWRANK_DATA: home },
    execArgv: ['--enable-source-maps'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const memory = watch(child.pid);
  const last = await new Promise((resolve, reject) => {
    child.on('message', ({ message }) => {
      memory.look();
      if (message === undefined) return;
      if (message.type === 'failed') reject(new Error(message.message));
      if (message.manifest !== undefined) resolve(message.manifest);
    });
    child.on('exit', (code) => reject(new Error(`the trainer ended with ${code}`)));
    child.send({ type: 'assign', assignments: [assignment] });
  }).finally(() => child.kill());
  const seconds = (performance.now() - started) / 1000;
  return { peak: Math.max(memory.stop(), last.metrics?.peakMemoryBytes ?? 0), seconds, manifest: last };
}

/** A model in a folder, its quantized base where trainers look for it: its weights are then not asked for, but by exports. */
export async function prepare(work, name, { threads, weights: stored = false }) {
  const folder = makeFolder(work, name);
  const facts = await inspectModelFolder(folder);
  const store = createObjectStore({ folder: join(work, 'objects') });
  const blobs = new Blobs(store);
  const files = [];
  for (const { path } of facts.files) {
    const weights = path.endsWith('.safetensors');
    files.push(
      weights && !stored
        ? { path, sha256: sha256(name), bytes: statSync(join(folder, path)).size }
        : { path, ...(await blobs.putFile(join(folder, path))) },
    );
  }
  const cacheDir = join(work, 'cache');
  const storages = new Set();
  const keep = async (storage) => {
    const file = quantizedBasePath({ key: modelKey(files), storage, cacheDir });
    if (storages.has(file)) return;
    storages.add(file);
    mkdirSync(dirname(file), { recursive: true });
    const kernels = openKernels({ threads });
    const { quantization: format, doubleQuantization } = storage;
    await kernels.quantizeBase(folder, file, { quantization: { format, doubleQuantization } });
    kernels.close();
  };
  return { folder, facts, files, blobs, cacheDir, keep };
}

/** What an attempt is told, but for its work: of a model that was prepared, on a dataset that was stored. */
export function assignmentOf(work, made, { model, dataset: data, recipe, threads }) {
  const jobDir = mkdtempSync(join(work, 'job-'));
  const letters = sha256(jobDir).replaceAll(/[^a-z]/g, '');
  return {
    jobId: `job_${letters.padEnd(24, 'a').slice(0, 24)}`,
    epoch: 1,
    adapter: 'bench',
    baseModel: { id: id('base'), name: 'bench', source: model, revision: 'a'.repeat(40), files: made.files },
    dataset: { id: id('data'), ...data },
    ...{ recipe, jobDir, cacheDir: made.cacheDir, threads },
  };
}

/** Runs an attempt and removes its folder. */
export async function runAssignment(work, assignment) {
  try {
    return await runTrainer(work, assignment);
  } finally {
    rmSync(assignment.jobDir, { recursive: true, force: true });
  }
}
