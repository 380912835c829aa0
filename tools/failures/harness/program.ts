import { childrenOf } from '@lowrank/testing';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync } from 'node:fs';
import { until } from './wait';

export interface ProgramOptions {
  name: string;
  command: string;
  args: string[];
  env?: NodeJS.ProcessEnv;
  /** Gets everything that it writes. */
  logFile: string;
}

/** Programs that run, and so have to be ended whatever happens. */
const running = new Set<Program>();

/** A program that was started here, in a process group of its own, so that Ctrl-C leaves the order of ending to the suite. */
export class Program {
  readonly name: string;
  readonly pid: number;
  private readonly child: ChildProcess;
  private readonly logFile: string;
  private readonly exited: Promise<unknown>;

  constructor({ name, command, args, env, logFile }: ProgramOptions) {
    this.name = name;
    this.logFile = logFile;
    const log = openSync(logFile, 'a');
    this.child = spawn(command, args, { env, stdio: ['ignore', log, log], detached: true });
    this.exited = once(this.child, 'exit').catch(() => undefined);
    if (this.child.pid === undefined) throw new Error(`${command} could not be started`);
    this.pid = this.child.pid;
    running.add(this);
    void this.exited.then(() => running.delete(this));
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  get exitCode(): number | null {
    return this.child.exitCode;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isAlive) process.kill(this.pid, signal);
  }

  freeze(): void {
    this.signal('SIGSTOP');
  }

  thaw(): void {
    this.signal('SIGCONT');
  }

  /** Ends it at once, with no chance to clean up. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    this.signal('SIGTERM');
    await until(`${this.name} to end`, async () => !this.isAlive);
  }

  children(): Promise<number[]> {
    return childrenOf(this.pid);
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }
}

/** Ends every program of the suite and what these have started themselves. */
export async function endAll(): Promise<void> {
  for (const program of running) {
    for (const pid of await program.children()) end(pid);
    await program.kill();
  }
}

/** Kills a process that may be gone already. */
export function end(pid: number, signal: NodeJS.Signals = 'SIGKILL'): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
