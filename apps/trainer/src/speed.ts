// What the device does in a second: a worker starts this while it is idle, with the threads of a trainer and a folder, and is told the
// figure over IPC (libs/contracts/src/trainer.ts).
import { type SpeedReport } from '@lowrank/contracts';
import { measureSpeed } from '@lowrank/training';

async function report(): Promise<SpeedReport> {
  try {
    return { operationsPerSecond: await measureSpeed(Number(process.argv[2]), process.argv[3] ?? '') };
  } catch (error) {
    return { operationsPerSecond: null, problem: error instanceof Error ? error.message : String(error) };
  }
}

if (process.send === undefined) {
  process.stderr.write('This is started by a worker, not by hand.\n');
  process.exit(2);
}
void report().then((answer) => process.send?.(answer, () => process.exit()));
