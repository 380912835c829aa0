import { LowrankError } from '@lowrank/contracts';
import { type MicroBatchLoss } from '@lowrank/training';
import { type ChildProcess, fork } from 'node:child_process';
import { extname, join } from 'node:path';
import { type FromRank, type Task, type ToRank } from './messages';

/** Compiled beside a compiled trainer, a source beside a source. */
const program = join(__dirname, `main${extname(__filename)}`);

/** Time to leave a group. */
const leaveMs = 10_000;

interface Waiting {
  resolve(losses: MicroBatchLoss[]): void;
  reject(error: unknown): void;
}

/** The process of another rank, as its trainer sees it. */
export class RankProcess {
  private readonly child: ChildProcess;
  private readonly waiting: Waiting[] = [];
  private losses: MicroBatchLoss[] = [];
  private failed: LowrankError | null = null;
  private closing = false;
  private readonly exited: Promise<void>;

  /** `gpu`: the one that it may see. `onFailure`: called once, when it has failed or has ended by itself. */
  constructor(
    private readonly rank: number,
    gpu: string,
    private readonly onFailure: (error: LowrankError) => void,
  ) {
    this.child = fork(program, [], {
      env: { ...process.env, CUDA_VISIBLE_DEVICES: gpu },
      execArgv: process.execArgv,
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.child.on('message', (message) => this.hear(message as FromRank));
    this.exited = new Promise((resolve) => {
      this.child.once('error', (error) => {
        this.fail('internal', `could not be started: ${error.message}`);
        resolve();
      });
      this.child.once('exit', (code, signal) => {
        this.fail('internal', `ended with ${signal ?? code}`);
        resolve();
      });
    });
  }

  /** Resolves when it is done, to its losses of a step. Rejects with LowrankError when it fails. */
  tell(message: Task): Promise<MicroBatchLoss[]> {
    return new Promise((resolve, reject) => {
      if (this.failed !== null) return reject(this.failed);
      this.waiting.push({ resolve, reject });
      this.child.send(message, () => undefined);
    });
  }

  stop(): void {
    if (this.child.connected) this.child.send({ type: 'stop' } satisfies ToRank, () => undefined);
  }

  /** Leaves the group, which may wait for all ranks to do so, and ends. `told`: it knows. */
  leave(): { told: Promise<void>; ended: Promise<void> } {
    this.closing = true;
    const told = new Promise<void>((resolve) =>
      this.child.send({ type: 'leave' } satisfies ToRank, () => resolve()),
    );
    const timer = setTimeout(() => this.child.kill('SIGKILL'), leaveMs);
    return { told, ended: this.exited.finally(() => clearTimeout(timer)) };
  }

  kill(): Promise<void> {
    this.closing = true;
    this.child.kill('SIGKILL');
    return this.exited;
  }

  private hear(message: FromRank): void {
    switch (message.type) {
      case 'losses':
        this.losses = message.losses;
        return;
      case 'done':
        this.waiting.shift()?.resolve(this.losses);
        this.losses = [];
        return;
      case 'failed':
        return this.fail(message.code, message.message);
    }
  }

  private fail(code: LowrankError['code'], what: string): void {
    if (this.failed !== null) return;
    this.failed = new LowrankError(code, `rank ${this.rank} of the trainer: ${what}`);
    for (const { reject } of this.waiting.splice(0)) reject(this.failed);
    if (!this.closing) this.onFailure(this.failed);
  }
}
