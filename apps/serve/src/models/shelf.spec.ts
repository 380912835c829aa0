import { Shelf } from './shelf';

class Thing {
  closed = false;
  constructor(readonly name: string) {}
  close(): void {
    this.closed = true;
  }
}

const opener = () => {
  const opened: Thing[] = [];
  const open = (name: string) => async () => {
    const thing = new Thing(name);
    opened.push(thing);
    return thing;
  };
  return { opened, open };
};

describe('Shelf', () => {
  it('opens once for all who hold a thing, at the same time or later', async () => {
    const { opened, open } = opener();
    const shelf = new Shelf<Thing>({ keep: 1 });
    const held = await Promise.all([shelf.hold('a', open('a')), shelf.hold('a', open('a'))]);
    held.forEach(({ release }) => release());
    const again = await shelf.hold('a', open('a'));
    expect(opened).toHaveLength(1);
    expect(again.value.closed).toBe(false);
  });

  it('closes the longest unused of those that nobody holds', async () => {
    const { opened, open } = opener();
    const shelf = new Shelf<Thing>({ keep: 1 });
    const a = await shelf.hold('a', open('a'));
    const b = await shelf.hold('b', open('b'));
    const c = await shelf.hold('c', open('c'));
    b.release();
    expect(opened.map(({ closed }) => closed)).toEqual([false, false, false]);
    a.release();
    // By the time it was asked for, a was the first.
    expect(opened.map(({ closed }) => closed)).toEqual([true, false, false]);
    c.release();
    expect(opened.map(({ closed }) => closed)).toEqual([true, true, false]);
    expect(shelf.size).toBe(1);
  });

  it('forgets what could not be opened', async () => {
    const { open } = opener();
    const shelf = new Shelf<Thing>({ keep: 1 });
    const failing = () => Promise.reject(new Error('no such file'));
    await expect(shelf.hold('a', failing)).rejects.toThrow('no such file');
    expect((await shelf.hold('a', open('a'))).value.name).toBe('a');
  });

  it('clears what nobody holds', async () => {
    const { opened, open } = opener();
    const shelf = new Shelf<Thing>({ keep: 9 });
    (await shelf.hold('a', open('a'))).release();
    const b = await shelf.hold('b', open('b'));
    shelf.clear();
    expect(opened.map(({ closed }) => closed)).toEqual([true, false]);
    b.release();
  });

  it('makes room while memory is short, and counts what it closed', async () => {
    const { opened, open } = opener();
    let room = 2;
    const isFull = () => opened.filter(({ closed }) => !closed).length > room;
    const shelf = new Shelf<Thing>({ keep: 9, isFull });
    for (const name of ['a', 'b', 'c']) (await shelf.hold(name, open(name))).release();
    expect(opened.map(({ closed }) => closed)).toEqual([true, false, false]);
    const held = await shelf.hold('c', open('c'));
    room = 0;
    shelf.tidy();
    // What somebody holds stays.
    expect(opened.map(({ closed }) => closed)).toEqual([true, true, false]);
    held.release();
    expect(opened.every(({ closed }) => closed)).toBe(true);
    expect(shelf.counts).toEqual({ opened: 3, evicted: 3 });
  });
});
