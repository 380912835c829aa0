import { LowrankError } from '@lowrank/contracts';
import { Checkpoints, createObjectStore, type StoredCheckpoint } from '@lowrank/storage';
import { saveCheckpoint, freshProgress } from '@lowrank/training';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CheckpointMirror } from './checkpoint-mirror';

const attempt = { jobId: `job_${'a'.repeat(24)}`, epoch: 2 };

/** A store whose next copy waits for `let go`, or fails with it. */
class Gate {
  private waiting: (() => void)[] = [];
  closed = false;
  failure: Error | null = null;
  /** Copies that are under way, and the most that ever were. */
  now = 0;
  most = 0;

  async pass(): Promise<void> {
    this.most = Math.max(this.most, (this.now += 1));
    try {
      if (this.closed) await new Promise<void>((resolve) => this.waiting.push(resolve));
      if (this.failure) throw this.failure;
    } finally {
      this.now -= 1;
    }
  }

  open(): void {
    this.closed = false;
    for (const go of this.waiting.splice(0)) go();
  }
}

describe('CheckpointMirror', () => {
  let root: string;
  let folder: string;
  let checkpoints: Checkpoints;
  /** Before a copy, and between a copy and the store's answer. */
  let gate: Gate;
  let answer: Gate;
  let mirror: CheckpointMirror;
  const mirrored: number[] = [];
  const messages: string[] = [];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-mirror-'));
    folder = join(root, 'job/checkpoints');
    checkpoints = new Checkpoints(createObjectStore({ s3: null, folder: join(root, 'objects') }));
    await checkpoints.begin(attempt);
    gate = new Gate();
    answer = new Gate();
    mirrored.length = messages.length = 0;
    mirror = make();
  });
  afterEach(async () => {
    gate.open();
    answer.open();
    await mirror.stop();
    await rm(root, { recursive: true });
  });

  const make = (intervalMs: number | null = 0) =>
    new CheckpointMirror({
      checkpoints: {
        put: async (...args) => {
          await gate.pass();
          const stored = await checkpoints.put(...args);
          await answer.pass();
          return stored;
        },
        prune: (checkpoint) => checkpoints.prune(checkpoint),
      },
      ...{ attempt, folder, intervalMs },
      onMirrored: (step) => mirrored.push(step),
      onMessage: (level, message) => messages.push(`${level}: ${message}`),
      log: () => undefined,
    });
  const save = async (step: number) => {
    await saveCheckpoint(folder, 'run', {
      progress: { ...freshProgress, step },
      state: Buffer.alloc(10, step),
      metrics: [],
    });
    mirror.offer(step);
  };
  const stored = async () =>
    (await checkpoints.list(attempt.jobId)).map(({ step }: StoredCheckpoint) => step);
  const until = async (condition: () => boolean) => {
    while (!condition()) await sleep(5);
  };

  it('copies every checkpoint when there is time, and keeps two', async () => {
    for (const step of [1, 2, 3]) {
      await save(step);
      await until(() => mirrored.includes(step));
    }
    await mirror.finish(10_000);
    expect(mirrored).toEqual([1, 2, 3]);
    expect(await stored()).toEqual([3, 2]);
  });

  it('copies one at a time, and then the newest', async () => {
    gate.closed = true;
    await save(1);
    await until(() => gate.now === 1);
    for (const step of [2, 3, 4]) await save(step);
    gate.open();
    await until(() => mirrored.includes(4));
    expect(mirrored).toEqual([1, 4]);
    expect(gate.most).toBe(1);
    // The first was long gone from the disk when its copy was made.
    await checkpoints.fetchTo({ ...attempt, step: 1 }, join(root, 'fetched'), {
      run: 'run',
      signal: new AbortController().signal,
    });
  });

  it('tries again while the store is away, says so once, and copies the newest when it is back', async () => {
    gate.failure = new LowrankError('store_unavailable', 'nobody answers');
    await save(1);
    await until(() => messages.length > 0);
    await save(2);
    await sleep(1500);
    expect(messages).toEqual([
      'warn: checkpoints do not reach the object store; training goes on and they are tried again (nobody answers)',
    ]);
    expect(mirrored).toEqual([]);
    gate.failure = null;
    await mirror.finish(10_000);
    expect(mirrored).toEqual([2]);
    expect(messages.slice(1)).toEqual(['info: checkpoints reach the object store again']);
  });

  it('waits at the end for the last one, though not for ever', async () => {
    gate.closed = true;
    await save(1);
    await mirror.finish(50);
    expect(messages).toEqual(['warn: the last checkpoint did not reach the object store']);
    gate.open();
    await sleep(100);
    expect(mirrored).toEqual([]);
    expect(await stored()).toEqual([]);
  });

  it('tells nobody of a copy that ends after it was stopped: the job may have ended', async () => {
    answer.closed = true;
    await save(1);
    await until(() => answer.now === 1);
    const stopped = mirror.stop();
    answer.open();
    await stopped;
    expect(await stored()).toEqual([1]);
    expect(mirrored).toEqual([]);
  });

  it('leaves time between two copies where it is told to, but not at the end', async () => {
    mirror = make(3_600_000);
    await save(1);
    await until(() => mirrored.length === 1);
    await save(2);
    await save(3);
    await sleep(100);
    expect(mirrored).toEqual([1]);
    await mirror.finish(10_000);
    expect(mirrored).toEqual([1, 3]);
  });

  it('copies nothing where it is told to', async () => {
    mirror = make(null);
    await save(1);
    await mirror.finish(10_000);
    expect(await stored()).toEqual([]);
    expect(messages).toEqual([]);
  });

  it('ends once a later attempt has begun', async () => {
    await save(1);
    await until(() => mirrored.length === 1);
    await checkpoints.begin({ ...attempt, epoch: 3 });
    for (const step of [2, 3]) await save(step);
    await mirror.finish(10_000);
    expect(mirrored).toEqual([1]);
    expect(await stored()).toEqual([1]);
    expect(messages).toEqual([]);
  });

  it('goes on with the next checkpoint when one cannot be read', async () => {
    await rm(folder, { recursive: true, force: true });
    mirror.offer(1);
    await until(() => messages.length > 0);
    await save(2);
    await mirror.finish(10_000);
    expect(mirrored).toEqual([2]);
  });
});
