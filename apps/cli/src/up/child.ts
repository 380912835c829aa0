import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';

/** A log file larger than this is set aside at the next start. */
const largestLogBytes = 10_000_000;
const tailLines = 30;
const firstPauseMs = 500;
const longestPauseMs = 15_000;
/** A child that ran this long had started well, so the next crash begins with a short pause again. */
const healthyAfterMs = 30_000;

export interface SupervisedChildOptions {
  name: string;
  /** Compiled main file. */
  entry: string;
  env: NodeJS.ProcessEnv;
  logFile: string;
  /** From SIGTERM to SIGKILL. */
  graceMs: number;
  /** Also called with every line the child writes. */
  onLine?: (line: string) => void;
  /** It ended by itself and will be started again after a pause. */
  onCrash: (how: string, tail: string[], pauseMs: number) => void;
}

/**
 * A process that is to run until `stop`: started again after a crash, with growing pauses. It gets a process group of its own, so
 * that Ctrl-C reaches only the parent, which then stops its children in order; and an IPC channel, whose end tells it that the
 * parent is gone.
 */
export class SupervisedChild {
  private child: ChildProcess | null = null;
  private log: WriteStream | null = null;
  private stopping = false;
  private restart: NodeJS.Timeout | null = null;
  private pauseMs = firstPauseMs;
  private tail: string[] = [];

  constructor(private readonly options: SupervisedChildOptions) {}

  get pid(): number | undefined {
    return this.child?.pid;
  }

  async start(): Promise<void> {
    this.log = await openLog(this.options.logFile);
    this.launch();
  }

  /** Asks the process to end and kills it if it takes too long; resolves when it is gone. */
  async stop(): Promise<void> {
    this.stopping = true;
    if (this.restart) clearTimeout(this.restart);
    const { child } = this;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), this.options.graceMs);
      await gone;
      clearTimeout(timer);
    }
    this.log?.end();
  }

  private launch(): void {
    const { name, entry, env, onLine, onCrash } = this.options;
    const startedAt = Date.now();
    this.tail = [];
    const child = fork(entry, [], {
      env,
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface({ input: stream }).on('line', (line) => {
        this.log?.write(`${line}\n`);
        this.tail.push(line);
        if (this.tail.length > tailLines) this.tail.shift();
        onLine?.(line);
      });
    }
    child.once('exit', (code, signal) => {
      if (this.stopping) return;
      if (Date.now() - startedAt > healthyAfterMs) this.pauseMs = firstPauseMs;
      onCrash(`${name} ended with ${signal ?? `exit code ${code}`}`, this.tail, this.pauseMs);
      this.restart = setTimeout(() => this.launch(), this.pauseMs);
      this.pauseMs = Math.min(2 * this.pauseMs, longestPauseMs);
    });
  }
}

async function openLog(file: string): Promise<WriteStream> {
  await mkdir(dirname(file), { recursive: true });
  const bytes = await stat(file).then(
    (info) => info.size,
    () => 0,
  );
  if (bytes > largestLogBytes) await rename(file, `${file}.1`);
  return createWriteStream(file, { flags: 'a', mode: 0o600 });
}
