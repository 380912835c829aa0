import { LowrankError } from '@lowrank/contracts';
import { BackOff, pause, persistently } from './retry';

describe('persistently', () => {
  const failing = (times: number, error: Error) => {
    let calls = 0;
    const work = async () => {
      calls += 1;
      if (calls <= times) throw error;
      return calls;
    };
    return { work, calls: () => calls };
  };

  it('tries again until it works', async () => {
    const retries: unknown[] = [];
    const error = new Error('connection refused');
    expect(await persistently(failing(2, error).work, 10_000, (why) => retries.push(why))).toBe(3);
    expect(retries).toEqual([error, error]);
  });

  it('tries again when the store is away', async () => {
    const away = new LowrankError('store_unavailable', 'away');
    expect(await persistently(failing(1, away).work, 10_000, () => undefined)).toBe(2);
  });

  it('takes a refusal for an answer', async () => {
    const refusal = new LowrankError('illegal_transition', 'no');
    const { work, calls } = failing(1, refusal);
    await expect(persistently(work, 10_000, () => undefined)).rejects.toBe(refusal);
    expect(calls()).toBe(1);
  });

  it('gives up when its patience ends', async () => {
    const error = new Error('connection refused');
    await expect(persistently(failing(Infinity, error).work, 120, () => undefined)).rejects.toBe(error);
  });
});

describe('pauses', () => {
  it('end at once by an abort', async () => {
    const controller = new AbortController();
    const paused = pause(60_000, controller.signal);
    controller.abort();
    await paused;
    await new BackOff().pause(controller.signal);
  });
});
