import { makeMetric } from '@lowrank/testing';
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCheckpoint, saveCheckpoint, type Checkpoint } from './checkpoint';
import { sha256 } from './files';
import { freshProgress } from './loop';

let root: string;
let folder: string;
const checkpoint = (step: number): Checkpoint => ({
  progress: {
    ...freshProgress,
    step,
    trainedTokens: step * 100,
    lossSum: step / 3,
    evaluatedAt: 0,
    evalBefore: { loss: 2.1, accuracy: 1 / 3 },
  },
  state: Uint8Array.from(randomBytes(1000)),
  metrics: [makeMetric({ step })],
});
const save = (step: number, run = 'run') => saveCheckpoint(folder, run, checkpoint(step));
const name = (step: number) => `step-${String(step).padStart(8, '0')}`;
const file = (step: number, path: string) => join(folder, name(step), path);
const names = async () => (await readdir(folder)).sort();

/** What loads, and the names of what was passed over. */
async function load(run = 'run') {
  const passed: string[] = [];
  const found = await loadCheckpoint(folder, run, (damaged) => passed.push(damaged));
  return { step: found?.progress.step ?? null, passed };
}

async function flip(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  await writeFile(path, bytes);
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lowrank-checkpoint-'));
  folder = join(root, 'job/checkpoints');
});
afterEach(() => rm(root, { recursive: true }));

describe('checkpoints', () => {
  it('come back as they were', async () => {
    const given = checkpoint(50);
    const hash = await saveCheckpoint(folder, 'run', given);
    const found = await loadCheckpoint(folder, 'run');
    expect(found?.progress).toEqual(given.progress);
    expect(found?.metrics).toEqual(given.metrics);
    expect(Buffer.from(found?.state ?? []).equals(given.state)).toBe(true);
    expect(hash).toBe(sha256(await readFile(file(50, 'meta.json'))));
    expect(await names()).toEqual([name(50)]);
  });

  it('are none in a folder that is not there, or empty', async () => {
    expect(await load()).toEqual({ step: null, passed: [] });
    await mkdir(folder, { recursive: true });
    expect(await load()).toEqual({ step: null, passed: [] });
  });

  it('are kept two at a time, by number and not by text', async () => {
    for (const step of [7, 9, 10, 100]) await save(step);
    expect(await names()).toEqual([name(10), name(100)]);
    expect(await load()).toEqual({ step: 100, passed: [] });
  });

  it('replace one of the same step', async () => {
    await save(3);
    const again = checkpoint(3);
    await saveCheckpoint(folder, 'run', again);
    expect(Buffer.from((await loadCheckpoint(folder, 'run'))?.state ?? []).equals(again.state)).toBe(true);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['a flipped bit of the state', () => flip(file(6, 'adapter.state'))],
    ['a flipped bit of the progress', () => flip(file(6, 'progress.json'))],
    [
      'progress that was edited',
      () =>
        writeFile(file(6, 'progress.json'), JSON.stringify({ ...checkpoint(6).progress, trainedTokens: 1 })),
    ],
    ['a flipped bit of the hashes', () => flip(file(6, 'meta.json'))],
    ['a short state', () => truncate(file(6, 'adapter.state'), 999)],
    ['an empty state', () => truncate(file(6, 'adapter.state'), 0)],
    ['an empty list of files', () => truncate(file(6, 'meta.json'), 0)],
    ['no state', () => rm(file(6, 'adapter.state'))],
    ['no list of files', () => rm(file(6, 'meta.json'))],
    [
      'a folder where a file belongs',
      async () => {
        await rm(file(6, 'adapter.state'));
        await mkdir(file(6, 'adapter.state'));
      },
    ],
    [
      'a file where the folder belongs',
      async () => {
        await rm(join(folder, name(6)), { recursive: true });
        await writeFile(join(folder, name(6)), '');
      },
    ],
    ['another run', () => save(6, 'other')],
    [
      'a later format',
      async () => {
        const meta = JSON.parse(await readFile(file(6, 'meta.json'), 'utf8')) as object;
        await writeFile(file(6, 'meta.json'), JSON.stringify({ ...meta, format: 2 }));
      },
    ],
    [
      'progress of another shape, though its hash is right',
      async () => {
        const given = checkpoint(6);
        await saveCheckpoint(folder, 'run', { ...given, progress: { ...given.progress, lossSum: NaN } });
      },
    ],
  ])('with %s are passed over for the one before', async (_title, damage) => {
    await save(3);
    await save(6);
    await damage();
    expect(await load()).toEqual({ step: 3, passed: [name(6)] });
  });

  it('that do not load make room for new ones instead of pushing them out', async () => {
    await save(6, 'other');
    await save(9, 'other');
    await save(2);
    expect(await load()).toEqual({ step: 2, passed: [] });
    expect(await names()).toEqual([name(2)]);
  });

  it('half-written by a process that died are never seen, and are cleared away', async () => {
    await save(3);
    // What a kill leaves: everything written but the rename.
    const dead = join(folder, 'tmp-999999');
    await mkdir(dead);
    for (const path of await readdir(join(folder, name(3))))
      await writeFile(join(dead, path), await readFile(file(3, path)));
    // And what one leaves that had the process id of this one.
    await mkdir(join(folder, `tmp-${process.pid}`));
    await writeFile(join(folder, `tmp-${process.pid}`, 'adapter.state'), 'half');
    expect(await load()).toEqual({ step: 3, passed: [] });
    await save(6);
    expect(await names()).toEqual([name(3), name(6)]);
    expect(await load()).toEqual({ step: 6, passed: [] });
  });

  it('leave alone what is none of theirs', async () => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'notes.txt'), '');
    for (const step of [1, 2, 3]) await save(step);
    expect(await names()).toEqual(['notes.txt', name(2), name(3)]);
  });
});

describe('a checkpoint that cannot be written', () => {
  it.each([
    ['into its temporary folder', 'adapter.state', 'EISDIR'],
    ['to the end', 'meta.json', 'EISDIR'],
  ])('%s keeps the one before', async (_title, blocked, code) => {
    await save(3);
    // A folder appears where a file is about to be written: the write fails as on a full disk, for root too.
    const state = checkpoint(6);
    const sly = {
      progress: {
        ...state.progress,
        // Called once the temporary folder exists and before anything is in it.
        toJSON() {
          mkdirSync(join(folder, `tmp-${process.pid}`, blocked));
          return state.progress;
        },
      },
      state: state.state,
      metrics: [],
    };
    await expect(saveCheckpoint(folder, 'run', sly)).rejects.toMatchObject({ code });
    expect(await names()).toEqual([name(3)]);
    expect(await load()).toEqual({ step: 3, passed: [] });
  });

  it('because a file lies where the folder belongs says so', async () => {
    await mkdir(join(root, 'job'));
    await writeFile(folder, '');
    await expect(save(3)).rejects.toMatchObject({ code: expect.stringMatching(/EEXIST|ENOTDIR/) });
    await expect(loadCheckpoint(folder, 'run')).rejects.toMatchObject({ code: 'ENOTDIR' });
  });
});
