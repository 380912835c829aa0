// Tells a worker of its machine's GPUs over IPC (libs/contracts/src/trainer.ts): at once, and then every second as long as the worker is
// there and there are any. A process of its own, since a driver in trouble may not answer for minutes.
import { type GpuReport } from '@lowrank/contracts';
import { gpuLibrary, readGpus } from '@lowrank/kernels';

const intervalMs = 1000;

function lookAtGpus(): GpuReport {
  try {
    const reading = readGpus();
    const isUsable = reading.gpus.length === 0 || gpuLibrary() !== null;
    const problem = isUsable
      ? null
      : 'liblowrank_cuda.so, the kernels for GPUs, has not been built: `make -C libs/kernels cuda`';
    return { ...reading, problem };
  } catch (error) {
    return { gpus: [], failing: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

function report(): void {
  const seen = lookAtGpus();
  const hasNone = seen.gpus.length + seen.failing.length === 0 && seen.problem === null;
  process.send?.(seen, () => hasNone && process.exit());
}

if (process.send === undefined) {
  process.stderr.write('This is started by a worker, not by hand.\n');
  process.exit(2);
}
process.once('disconnect', () => process.exit());
report();
setInterval(report, intervalMs);
