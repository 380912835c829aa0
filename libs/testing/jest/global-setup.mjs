import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prefix, removeDeadRuns, signalServer } from './run-folder.mjs';

export default async function globalSetup() {
  await removeDeadRuns();
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  // The processes that run the tests inherit it.
  process.env.LOWRANK_TEST_RUN = folder;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      signalServer(folder);
      rmSync(folder, { recursive: true, force: true });
      process.kill(process.pid, signal);
    });
  }
}
