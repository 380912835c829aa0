import { Turns } from './turns';

const signal = new AbortController().signal;
const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('Turns', () => {
  it('lets so many run, and then the longest waiting of the team with the fewest', async () => {
    const turns = new Turns({ running: 2, waiting: 9, patienceMs: 60_000 });
    const order: string[] = [];
    const ends = new Map<string, () => void>();
    const start = (name: string) =>
      turns.take(name[0] as string, signal).then((end) => {
        order.push(name);
        ends.set(name, end);
      });
    const all = ['a1', 'a2', 'a3', 'a4', 'b1'].map(start);
    await settle();
    expect(order).toEqual(['a1', 'a2']);
    ends.get('a1')?.();
    await settle();
    expect(order).toEqual(['a1', 'a2', 'b1']);
    ends.get('a2')?.();
    await settle();
    expect(order.at(-1)).toBe('a3');
    ends.get('b1')?.();
    await Promise.all(all);
    expect(order).toEqual(['a1', 'a2', 'b1', 'a3', 'a4']);
    expect(turns.load).toEqual({ running: 2, waiting: 0 });
  });

  it('refuses what cannot wait, or has waited for long', async () => {
    const turns = new Turns({ running: 1, waiting: 1, patienceMs: 20 });
    await turns.take('a', signal);
    const second = turns.take('a', signal);
    await expect(turns.take('a', signal)).rejects.toMatchObject({ code: 'server_busy' });
    await expect(second).rejects.toMatchObject({ code: 'server_busy', status: 429 });
    expect(turns.load).toEqual({ running: 1, waiting: 0 });
  });

  it('forgets who leaves while waiting', async () => {
    const turns = new Turns({ running: 1, waiting: 2, patienceMs: 60_000 });
    const end = await turns.take('a', signal);
    const leaving = new AbortController();
    const gone = turns.take('a', leaving.signal);
    const stays = turns.take('a', signal);
    leaving.abort(new Error('left'));
    await expect(gone).rejects.toThrow('left');
    end();
    (await stays)();
    expect(turns.load).toEqual({ running: 0, waiting: 0 });
  });
});
