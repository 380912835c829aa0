import { pageNames, Pages } from './pages';

const prompt = (length: number, last = 0) =>
  Int32Array.from({ length }, (_, i) => (i === length - 1 ? last : i));

describe('pages', () => {
  it('are taken all or none, and come back', () => {
    const pages = new Pages(3);
    const taken = pages.take(2) as number[];
    expect(new Set(taken).size).toBe(2);
    expect(pages.take(2)).toBeNull();
    expect(pages.left).toBe(1);
    pages.give(taken);
    expect(new Set(pages.take(3))).toEqual(new Set([0, 1, 2]));
  });

  it('with a name are shared, also when nobody uses them', () => {
    const pages = new Pages(3);
    const [first, second] = pages.take(2) as [number, number];
    pages.name(first, 'a');
    pages.name(second, 'b');
    expect(pages.share(['a', 'c', 'b'])).toEqual([first]);
    pages.give([first, second]);
    expect(pages.left).toBe(2);
    pages.give([first]);
    expect(pages.left).toBe(3);
    expect(pages.share(['a', 'b'])).toEqual([first, second]);
    expect(pages.left).toBe(1);
  });

  it('are not taken while one of two uses them', () => {
    const pages = new Pages(1);
    const [page] = pages.take(1) as [number];
    pages.name(page, 'a');
    pages.share(['a']);
    pages.give([page]);
    expect(pages.take(1)).toBeNull();
    pages.give([page]);
    expect(pages.take(1)).toEqual([page]);
    expect(pages.share(['a'])).toEqual([]);
  });

  it('go when room is short: the longest unused first, of a prompt the last first', () => {
    const pages = new Pages(4);
    const old = pages.take(2) as [number, number];
    const young = pages.take(2) as [number, number];
    ['a', 'b'].forEach((name, i) => pages.name(old[i] as number, name));
    ['c', 'd'].forEach((name, i) => pages.name(young[i] as number, name));
    pages.give(old);
    pages.give(young);
    expect(pages.take(1)).toEqual([old[1]]);
    expect(pages.share(['a'])).toEqual([old[0]]);
    expect(pages.take(1)).toEqual([young[1]]);
    expect(pages.share(['c'])).toEqual([young[0]]);
  });

  it('keep the name that they had first', () => {
    const pages = new Pages(2);
    const [first, second] = pages.take(2) as [number, number];
    pages.name(first, 'a');
    pages.name(second, 'a');
    pages.name(first, 'b');
    expect(pages.share(['a'])).toEqual([first]);
    expect(pages.share(['b'])).toEqual([]);
  });
});

describe('names of pages', () => {
  it('are of whole pages, and of everything before them', () => {
    const names = pageNames('team', prompt(9), 4);
    expect(names).toHaveLength(2);
    expect(pageNames('team', prompt(8, 7), 4)).toEqual(names);
    expect(pageNames('team', prompt(8, 99), 4)[0]).toBe(names[0]);
    expect(pageNames('team', prompt(8, 99), 4)[1]).not.toBe(names[1]);
    const other = Int32Array.from([1, ...prompt(8, 7).slice(1)]);
    expect(pageNames('team', other, 4)[1]).not.toBe(names[1]);
    expect(pageNames('other team', prompt(9), 4)[1]).not.toBe(names[1]);
  });
});
