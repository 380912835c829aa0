import { LowrankError } from '@lowrank/contracts';
import { type StoredCheckpoint } from '@lowrank/storage';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchCheckpoint, type FetchOptions } from './fetch-checkpoint';

const jobId = `job_${'a'.repeat(24)}`;
const away = new LowrankError('store_unavailable', 'nobody answers');

describe('fetchCheckpoint', () => {
  let root: string;
  let stored: StoredCheckpoint[];
  let fetched: number[];
  let messages: string[];
  /** What happens to the next calls of the store, in order; null: nothing. */
  let failures: (Error | null)[];
  const stop = { current: new AbortController() };

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lowrank-fetch-'));
    stored = [30, 20, 10].map((step) => ({ jobId, epoch: 1, step }));
    fetched = [];
    messages = [];
    failures = [];
    stop.current = new AbortController();
  });
  afterEach(() => rm(root, { recursive: true }));

  const answer = () => {
    const failure = failures.shift();
    if (failure) throw failure;
  };
  const fetch = (beyond: number, changes: Partial<FetchOptions> = {}) =>
    fetchCheckpoint(
      {
        checkpoints: {
          list: async () => {
            answer();
            return stored;
          },
          fetchTo: async ({ step }, folder) => {
            fetched.push(step);
            answer();
            await writeFile(join(folder, 'meta.json'), '');
          },
        },
        ...{ jobId, folder: join(root, 'checkpoints'), mirroredStep: 30, patienceMs: 10_000 },
        signal: stop.current.signal,
        onMessage: (level, message) => messages.push(`${level}: ${message}`),
        ...changes,
      },
      'run',
      beyond,
    );
  const there = () => readdir(join(root, 'checkpoints')).catch(() => []);

  it('takes the newest', async () => {
    expect(await fetch(0)).toBe(true);
    expect(fetched).toEqual([30]);
    expect(await there()).toEqual(['step-00000030']);
  });

  it('takes none that is not beyond what is there', async () => {
    expect(await fetch(30)).toBe(false);
    expect(await fetch(31)).toBe(false);
    expect(fetched).toEqual([]);
    stored = [];
    expect(await fetch(0)).toBe(false);
  });

  it.each(['integrity_failed', 'not_found', 'conflict'] as const)(
    'passes over one that is %s, down to what is there',
    async (code) => {
      failures = [null, new LowrankError(code, 'No good.')];
      expect(await fetch(15)).toBe(true);
      expect(fetched).toEqual([30, 20]);
      expect(messages[0]).toBe('warn: No good. It was passed over.');
      failures = [null, new LowrankError(code, 'No good.'), new LowrankError(code, 'Nor this.')];
      expect(await fetch(15)).toBe(false);
      expect(await there()).toEqual(['step-00000020']);
    },
  );

  it('does with what is there when the store is away and is not known to have more', async () => {
    failures = [away];
    expect(await fetch(30)).toBe(false);
    expect(messages).toEqual(['warn: the object store was not asked for a later checkpoint: nobody answers']);
  });

  it('waits for a store that is known to have more, and tries all of it again', async () => {
    failures = [away, null, away, null];
    expect(await fetch(29)).toBe(true);
    expect(fetched).toEqual([30, 30]);
    expect(messages[0]).toBe('warn: waiting for the checkpoint of step 30: nobody answers');
    expect(await there()).toEqual(['step-00000030']);
  });

  it('gives up after its patience', async () => {
    failures = [away, away];
    await expect(fetch(0, { patienceMs: 0 })).rejects.toBe(away);
  });

  it('stops waiting when it is told to', async () => {
    failures = Array.from({ length: 100 }, () => away);
    const waiting = fetch(0);
    stop.current.abort('drain');
    await expect(waiting).rejects.toBe('drain');
  });

  it('passes on what is no matter of the checkpoint', async () => {
    const full = Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    failures = [null, full];
    await expect(fetch(0)).rejects.toBe(full);
    expect(await there()).toEqual([]);
  });
});
