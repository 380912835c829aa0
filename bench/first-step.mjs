// From a submission to the first optimizer step, on a whole Lowrank as `lowrank up` runs it: jobs of a few short steps on one base, one after
// the other. The first one finds nothing on the worker's disk and quantizes the base; the others are what the goal is about (p50 of 1 s for
// 100 M parameters). Times are the server's own: when the job was accepted, and when the trainer had made its first step.
//
//   npm run bench:first-step -- [--model 100M] [--jobs 20]
//
// Writes bench/results/first-step.json. Needs the oracle, for making the model (tools/oracle/setup.sh), and `npm run build`.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import startRun from '../libs/testing/jest/global-setup.mjs';
import endRun from '../libs/testing/jest/global-teardown.mjs';
import { makeFolder, setUpOracle } from './models.mjs';
import { median, print, writeResults } from './results.mjs';

const require = createRequire(import.meta.url);
require('../tools/typescript.cjs');
const { Stack } = require('../apps/dashboard/test/stack.ts');

const { values: flags } = parseArgs({
  options: { model: { type: 'string', default: '100M' }, jobs: { type: 'string', default: '20' } },
});

/** Seconds from the acceptance of a job to its first step. */
async function firstStep(stack, dataset, number) {
  const { id } = await stack.submit({
    ...{ baseModel: 'bench', dataset: dataset.id, adapter: `bench-${number}` },
    recipe: {
      training: { steps: 2, sequenceLength: 64, rows: 1, tooLong: 'truncate' },
      evaluation: { fraction: 0 },
    },
  });
  const { createdAt } = await stack.untilSucceeded(id);
  const { data } = await stack.call('GET', `/api/v1/jobs/${id}/metrics`);
  const first = data.find(({ kind, step }) => kind === 'train' && step === 1);
  return (Date.parse(first.at) - Date.parse(createdAt)) / 1000;
}

setUpOracle();
const work = mkdtempSync(join(tmpdir(), 'lowrank-bench-first-step-'));
await startRun();
try {
  const folder = makeFolder(work, flags.model);
  const stack = await Stack.start({ LOWRANK_IMPORT_ROOTS: work });
  try {
    const source = { type: 'folder', path: folder };
    let base = await stack.call('POST', '/api/v1/base-models', { name: 'bench', source });
    while (base.status === 'importing') {
      await sleep(200);
      base = await stack.call('GET', '/api/v1/base-models/bench');
    }
    const dataset = await stack.uploadSample();
    const cold = await firstStep(stack, dataset, 0);
    const times = [];
    for (let i = 1; i <= Number(flags.jobs); i += 1) times.push(await firstStep(stack, dataset, i));
    print(`${flags.model}, submit to first optimizer step`);
    print(`  first job on the base      ${cold.toFixed(2)} s`);
    print(`  the next ${flags.jobs}, p50           ${median(times).toFixed(2)} s   goal: 1 s for 100M`);
    print(`  the slowest of them        ${Math.max(...times).toFixed(2)} s`);
    writeResults('first-step', { flags, cold, times });
  } finally {
    await stack.stop();
  }
} finally {
  await endRun();
  rmSync(work, { recursive: true, force: true });
}
