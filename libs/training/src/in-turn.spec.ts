import { inTurn } from './in-turn';

describe('inTurn', () => {
  it('runs what has the same key one after the other, whatever the first becomes', async () => {
    const order: string[] = [];
    const first = inTurn('a', async () => {
      order.push('first begins');
      await Promise.resolve();
      order.push('first fails');
      throw new Error('no');
    });
    const second = inTurn('a', () => Promise.resolve(order.push('second')));
    const other = inTurn('b', () => Promise.resolve(order.push('other')));
    await expect(first).rejects.toThrow('no');
    await Promise.all([second, other]);
    expect(order).toEqual(['first begins', 'other', 'first fails', 'second']);
  });
});
