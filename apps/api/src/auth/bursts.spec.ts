import { Bursts } from './bursts';

describe('Bursts', () => {
  let now = 0;
  const taken = (bursts: Bursts, who: string, times: number) =>
    Array.from({ length: times }, () => bursts.take(who)).filter((wait) => wait === 0).length;

  it('lets ten seconds’ worth through at once, then as many as come back, for each caller', () => {
    now = 0;
    const bursts = new Bursts(5, () => now);
    expect(taken(bursts, 'a', 60)).toBe(50);
    expect(bursts.take('a')).toBe(200);
    expect(taken(bursts, 'b', 60)).toBe(50);
    now += 1000;
    expect(taken(bursts, 'a', 60)).toBe(5);
    now += 3_600_000;
    expect(taken(bursts, 'a', 60)).toBe(50);
  });

  it('says how long to wait, after which there is one', () => {
    now = 0;
    const bursts = new Bursts(0.5, () => now);
    expect(taken(bursts, 'a', 9)).toBe(5);
    now += 500;
    const wait = bursts.take('a');
    expect(wait).toBe(1500);
    now += wait;
    expect(bursts.take('a')).toBe(0);
  });

  it('knows no more callers than it has room for', () => {
    now = 0;
    const bursts = new Bursts(0.1, () => now);
    expect(taken(bursts, 'a', 2)).toBe(1);
    for (let i = 0; i < 10_000; i += 1) bursts.take(`other ${i}`);
    expect(bursts.take('a')).toBe(0);
  });
});
