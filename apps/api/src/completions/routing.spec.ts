import { ranked, routed } from './routing';

const urls = ['http://a:1', 'http://b:1', 'http://c:1', 'http://d:1'];
const keys = Array.from({ length: 400 }, (_, i) => `version-${i}`);

describe('ranked', () => {
  it('is the same whatever order the servers are named in', () => {
    for (const key of keys.slice(0, 20)) expect(ranked(urls.toReversed(), key)).toEqual(ranked(urls, key));
  });

  it('gives each server about as much', () => {
    for (const url of urls) {
      const share = keys.filter((key) => ranked(urls, key)[0] === url).length / keys.length;
      expect(share).toBeGreaterThan(0.15);
      expect(share).toBeLessThan(0.35);
    }
  });

  it('moves only what was on a server that is gone, and to all the others', () => {
    const [gone, ...left] = urls;
    const moved = keys.filter((key) => ranked(urls, key)[0] === gone);
    for (const key of keys) {
      const before = ranked(urls, key)[0];
      const after = ranked(left, key)[0];
      if (before !== gone) expect(after).toBe(before);
    }
    expect(new Set(moved.map((key) => ranked(left, key)[0])).size).toBe(3);
  });
});

describe('routed', () => {
  /** Sends requests that stay, each for the key that `pick` says; what each server has then, and on how many servers each key is. */
  function simulate(count: number, pick: (i: number) => string, isDown?: (url: string) => boolean) {
    const loads = new Map<string, number>();
    const places = new Map<string, Set<string>>();
    for (let i = 0; i < count; i += 1) {
      const key = pick(i);
      const [url = ''] = routed(urls, key, (one) => loads.get(one) ?? 0, isDown);
      loads.set(url, (loads.get(url) ?? 0) + 1);
      places.set(key, (places.get(key) ?? new Set()).add(url));
    }
    return { loads, places };
  }

  it('keeps an adapter on its server while there is little to do', () => {
    const { loads } = simulate(8, () => 'one');
    expect([...loads]).toEqual([[ranked(urls, 'one')[0], 8]]);
  });

  it('spreads an adapter that all ask for, in its own order, so that no server has much more than its share', () => {
    const { loads, places } = simulate(400, () => 'one');
    expect([...loads.values()].reduce((sum, load) => sum + load, 0)).toBe(400);
    for (const load of loads.values()) expect(load).toBeLessThanOrEqual(Math.ceil(1.25 * 100));
    expect([...(places.get('one') ?? [])]).toEqual(ranked(urls, 'one'));
  });

  it('leaves most of many adapters on one server each, though some are asked for far more often', () => {
    // Half of all requests are for one adapter.
    const { loads, places } = simulate(800, (i) => (i % 2 === 0 ? 'hot' : (keys[i % keys.length] as string)));
    for (const load of loads.values()) expect(load).toBeLessThanOrEqual(250);
    const alone = keys.filter((key) => (places.get(key)?.size ?? 0) === 1);
    expect(alone.length / (places.size - 1)).toBeGreaterThan(0.75);
  });

  it('asks those last that were not reached, and gives the others their share', () => {
    const [gone = ''] = ranked(urls, 'one');
    const { loads } = simulate(
      90,
      () => 'one',
      (url) => url === gone,
    );
    expect(loads.get(gone)).toBeUndefined();
    for (const load of loads.values()) expect(load).toBeLessThanOrEqual(38);
    expect(
      routed(
        urls,
        'one',
        () => 0,
        (url) => url === gone,
      ).at(-1),
    ).toBe(gone);
  });
});
