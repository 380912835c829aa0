import { Logger } from '@nestjs/common';
import { speedReportSchema } from '@lowrank/contracts';
import { fork } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { messageOf, pause } from './retry';
import { type Timings } from './settings';

export interface SpeedometerOptions {
  /** Main file of the program that measures (apps/trainer/src/speed.ts). */
  entry: string;
  env: NodeJS.ProcessEnv;
  /** What a trainer gets of them. */
  threads: number;
  /** Where the program may write; removed again, whatever becomes of the program. */
  folder: string;
  /** Whether nothing trains here. */
  isIdle(): boolean;
  timings: Pick<Timings, 'idleBeforeSpeed' | 'speedLimit'>;
}

/**
 * Finds out, once and while the worker has nothing to do, what its device does in a second, so that times can be predicted before any job
 * has finished on a device of its class. In a process of its own, as all native code is.
 */
export class Speedometer {
  private readonly logger = new Logger(Speedometer.name);
  private readonly leaving = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private measured: number | null = null;

  constructor(private readonly options: SpeedometerOptions) {}

  /** Operations per second of a training step; null: not known yet. */
  get operationsPerSecond(): number | null {
    return this.measured;
  }

  start(): void {
    this.running = this.measure();
  }

  async stop(): Promise<void> {
    this.leaving.abort();
    await this.running;
  }

  private async measure(): Promise<void> {
    const { isIdle, timings } = this.options;
    do await pause(timings.idleBeforeSpeed, this.leaving.signal);
    while (!isIdle() && !this.leaving.signal.aborted);
    if (this.leaving.signal.aborted) return;
    const { folder } = this.options;
    try {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder, { recursive: true });
      const measured = await this.ask();
      // What began meanwhile has taken a part of the device.
      if (isIdle()) this.measured = measured;
      this.logger.log(`The device does ${(measured / 1e9).toFixed(1)} GFLOP/s in a training step.`);
    } catch (error) {
      if (!this.leaving.signal.aborted)
        this.logger.warn(`The device's speed is not known: ${messageOf(error)}`);
    } finally {
      await rm(folder, { recursive: true, force: true }).catch(() => undefined);
    }
  }

  private async ask(): Promise<number> {
    const { entry, env, threads, folder, timings } = this.options;
    const signal = AbortSignal.any([this.leaving.signal, AbortSignal.timeout(timings.speedLimit)]);
    const child = fork(entry, [String(threads), folder], {
      env,
      signal,
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    return new Promise((resolve, reject) => {
      child.once('message', (message) => {
        const report = speedReportSchema.safeParse(message);
        if (!report.success) return reject(new Error('the program said what it should not'));
        if (report.data.operationsPerSecond === null) return reject(new Error(report.data.problem));
        resolve(report.data.operationsPerSecond);
      });
      child.once('error', reject);
      child.once('exit', (code, by) => reject(new Error(`the program ended with ${by ?? code}`)));
    });
  }
}
