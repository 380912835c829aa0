import { Logger } from '@nestjs/common';
import { type GpuReport, gpuReportSchema, type MachineUsage } from '@lowrank/contracts';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { messageOf, pause } from '../retry';
import { type Timings } from '../settings';

export interface GpuWatchOptions {
  /** Main file of the program that reads them (apps/trainer/src/gpus.ts). */
  entry: string;
  env: NodeJS.ProcessEnv;
  timings: Pick<Timings, 'gpuSilence'>;
}

type DeviceUsage = MachineUsage['devices'][number];

const nothing: GpuReport = { gpus: [], failing: [], problem: null };

/**
 * What the driver says of this machine's GPUs, while there are any. A process of its own asks it: a driver in trouble may hang, or take its
 * caller down, and the worker has to go on sending heartbeats.
 */
export class GpuWatch {
  private readonly logger = new Logger(GpuWatch.name);
  private readonly leaving = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private latest: { report: GpuReport; at: number } | null = null;
  private hear: () => void = () => undefined;

  constructor(private readonly options: GpuWatchOptions) {}

  /** Resolves to the first report; one with a problem when none comes in time. */
  async start(): Promise<GpuReport> {
    const { gpuSilence } = this.options.timings;
    const over = new AbortController();
    const heard = new Promise<void>((resolve) => (this.hear = resolve));
    this.running = this.watch();
    // Without any GPU the program ends after its first report, and so does the watch.
    await Promise.race([heard, this.running, pause(gpuSilence, over.signal)]);
    over.abort();
    const problem = `the GPUs' driver did not answer within ${gpuSilence / 1000} s`;
    return this.latest?.report ?? { ...nothing, problem };
  }

  async stop(): Promise<void> {
    this.leaving.abort();
    await this.running;
  }

  /** How busy that GPU is; nothing where nobody knows. */
  usageOf(uuid: string): DeviceUsage[] {
    const gpu = this.fresh()?.gpus.find((one) => one.uuid === uuid);
    if (gpu === undefined) return [];
    const { name, memory, utilisationPercent: percent, temperature } = gpu;
    const utilisation = percent === null ? null : Math.min(1, percent / 100);
    const { total: memoryTotalBytes, used: memoryUsedBytes } = memory;
    return [{ name: name.slice(0, 100), utilisation, memoryUsedBytes, memoryTotalBytes, temperature }];
  }

  /** Why that GPU cannot be used any more; null: it can, or the driver does not say. */
  lossOf({ uuid, index }: { uuid: string; index: number }): string | null {
    const report = this.fresh();
    // A driver that answers nothing, as one does that was updated while it was used, may compute all the same.
    if (report === null || report.problem !== null) return null;
    if (report.gpus.some((gpu) => gpu.uuid === uuid)) return null;
    const failure = report.failing.find((gpu) => gpu.index === index)?.message;
    return `GPU ${uuid} is gone: ${failure ?? 'the driver does not list it any more'}`;
  }

  private fresh(): GpuReport | null {
    const { latest } = this;
    return latest !== null && performance.now() - latest.at < this.options.timings.gpuSilence
      ? latest.report
      : null;
  }

  private async watch(): Promise<void> {
    const { signal } = this.leaving;
    while (!signal.aborted) {
      const end = await this.runProgram();
      if (end === 0 && !signal.aborted) return;
      if (!signal.aborted) this.logger.warn(`The program that watches GPUs ended with ${end}.`);
      await pause(this.options.timings.gpuSilence / 3, signal);
    }
  }

  /** Resolves to how it ended. */
  private async runProgram(): Promise<unknown> {
    const { entry, env } = this.options;
    const { signal } = this.leaving;
    // A process group of its own, so that Ctrl-C reaches the worker alone.
    const child = fork(entry, [], { env, stdio: ['ignore', 'ignore', 'ignore', 'ipc'], detached: true });
    child.on('message', (raw) => this.take(raw));
    const kill = () => void child.kill('SIGKILL');
    signal.addEventListener('abort', kill);
    try {
      return await ended(child);
    } catch (error) {
      return messageOf(error);
    } finally {
      signal.removeEventListener('abort', kill);
    }
  }

  private take(raw: unknown): void {
    const parsed = gpuReportSchema.safeParse(raw);
    if (!parsed.success) return this.logger.warn(`What was read of the GPUs is odd: ${parsed.error.message}`);
    const before = this.latest?.report.problem ?? null;
    this.latest = { report: parsed.data, at: performance.now() };
    const { problem } = parsed.data;
    if (problem !== null && problem !== before) this.logger.warn(`The GPUs' driver: ${problem}`);
    this.hear();
  }
}

async function ended(child: ChildProcess): Promise<unknown> {
  const [code, by] = await once(child, 'exit');
  return by ?? code;
}
