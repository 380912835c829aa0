// What a Jest run leaves outside its own processes: one folder under the system's, with the Postgres server that the first test to
// need one started in it (see ../src/test-database.ts). Its name carries the run's process id.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const prefix = 'lowrank-jest-';

const isAlive = (pid) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** Tells the folder's server to end at once; resolves to its process id, or null when there is none. */
export function signalServer(folder) {
  try {
    const pid = Number.parseInt(readFileSync(join(folder, 'server.pid'), 'utf8'), 10);
    process.kill(pid, 'SIGINT');
    return pid;
  } catch {
    return null;
  }
}

export async function removeRun(folder) {
  const pid = signalServer(folder);
  for (const end = Date.now() + 10_000; pid !== null && isAlive(pid) && Date.now() < end; await sleep(20));
  rmSync(folder, { recursive: true, force: true });
}

/** Removes what runs that were killed could not. */
export async function removeDeadRuns() {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : 0;
    if (pid > 0 && !isAlive(pid)) await removeRun(join(tmpdir(), name));
  }
}
