import { type LogLevel } from '@lowrank/contracts';
import { type Checkpoints } from '@lowrank/storage';
import { checkpointFiles, checkpointFolder } from '@lowrank/training';
import { type FileHandle, open } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { BackOff, pause } from './back-off';

export interface MirrorOptions {
  checkpoints: Pick<Checkpoints, 'put' | 'prune'>;
  attempt: { jobId: string; epoch: number };
  /** Folder of the job's checkpoints on this machine. */
  folder: string;
  /** Least time between the beginnings of two copies; null: nothing is copied. */
  intervalMs: number | null;
  /** The checkpoint of this step is in the store. */
  onMirrored(step: number): void;
  /** Something for the job's owner. */
  onMessage(level: 'info' | 'warn', message: string): void;
  log(level: LogLevel, message: string): void;
}

/**
 * Copies checkpoints to the object store while training goes on: one at a time, and of those that were written meanwhile only the
 * newest. While the store is away they wait, and the newest takes the place of the one that waits.
 */
export class CheckpointMirror {
  #waiting: number | null = null;
  #working: Promise<void> | null = null;
  #dueAt = 0;
  #away = false;
  #hurry = false;
  #resting = new AbortController();
  readonly #backOff = new BackOff();
  readonly #over = new AbortController();

  constructor(private readonly options: MirrorOptions) {}

  /** A checkpoint was written to the disk, and is the newest. */
  offer(step: number): void {
    if (this.options.intervalMs === null || this.#over.signal.aborted) return;
    this.#waiting = step;
    this.#working ??= this.#work();
  }

  /** Resolves when the newest checkpoint is in the store, or after `withinMs`: then the one before counts. Nothing is copied afterwards. */
  async finish(withinMs: number): Promise<void> {
    this.#hurry = true;
    this.#backOff.reset();
    this.#resting.abort();
    await this.#workedWithin(withinMs);
    if (this.#working) this.options.onMessage('warn', 'the last checkpoint did not reach the object store');
    await this.stop();
  }

  /** Breaks off what is being copied. */
  async stop(): Promise<void> {
    this.#over.abort();
    this.#resting.abort();
    // Time for the store to clear away the half of an upload; the process ends whether it does or not.
    await this.#workedWithin(1000);
  }

  async #workedWithin(ms: number): Promise<void> {
    const done = new AbortController();
    await Promise.race([this.#working, pause(ms, done.signal)]);
    done.abort();
  }

  async #work(): Promise<void> {
    while (this.#waiting !== null && !this.#over.signal.aborted) {
      await this.#rest(this.#hurry ? 0 : this.#dueAt - performance.now());
      if (this.#over.signal.aborted) break;
      const step = this.#waiting;
      this.#waiting = null;
      this.#dueAt = performance.now() + (this.options.intervalMs ?? 0);
      try {
        await this.#copy(step);
        this.#cameBack();
      } catch (error) {
        if (this.#over.signal.aborted) break;
        this.#waiting ??= step;
        this.#wentAway(step, error);
        await this.#rest(this.#backOff.next());
      }
    }
    this.#working = null;
  }

  async #rest(ms: number): Promise<void> {
    if (ms <= 0) return;
    this.#resting = new AbortController();
    await pause(ms, this.#resting.signal);
  }

  async #copy(step: number): Promise<void> {
    const { checkpoints, attempt, log } = this.options;
    const checkpoint = { ...attempt, step };
    const started = performance.now();
    const stored = await this.#withFiles(step, (files) => checkpoints.put(checkpoint, files));
    if (!stored) {
      log('info', 'a later attempt has begun; this one copies no more checkpoints');
      this.#over.abort();
      return;
    }
    // Nobody listens any more, and the job may have ended.
    if (this.#over.signal.aborted) return;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    log('info', `checkpoint of step ${step} is in the object store, after ${seconds} s`);
    this.options.onMirrored(step);
    await checkpoints
      .prune(checkpoint)
      .catch((error: unknown) => log('warn', `older checkpoints stay in the object store: ${reason(error)}`));
  }

  /** Opens a checkpoint's files at once: from then on they can be read, though training removes the checkpoint for newer ones. */
  async #withFiles<T>(
    step: number,
    use: (files: Parameters<Checkpoints['put']>[1]) => Promise<T>,
  ): Promise<T> {
    const folder = checkpointFolder(this.options.folder, step);
    const handles: FileHandle[] = [];
    try {
      for (const name of checkpointFiles) handles.push(await open(`${folder}/${name}`));
      const files = handles.map(async (handle, i) => ({
        name: checkpointFiles[i] as string,
        bytes: (await handle.stat()).size,
        open: () => {
          this.#over.signal.throwIfAborted();
          return addAbortSignal(this.#over.signal, handle.createReadStream({ start: 0, autoClose: false }));
        },
      }));
      return await use(await Promise.all(files));
    } finally {
      for (const handle of handles) await handle.close();
    }
  }

  /** The owner reads of an outage once, however many tries it takes. */
  #wentAway(step: number, error: unknown): void {
    const level = this.#away ? 'debug' : 'warn';
    this.options.log(level, `checkpoint of step ${step} waits: ${reason(error)}`);
    if (this.#away) return;
    this.#away = true;
    this.options.onMessage(
      'warn',
      `checkpoints do not reach the object store; training goes on and they are tried again (${reason(error)})`,
    );
  }

  #cameBack(): void {
    this.#backOff.reset();
    if (!this.#away) return;
    this.#away = false;
    this.options.onMessage('info', 'checkpoints reach the object store again');
  }
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
