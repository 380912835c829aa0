import { ranked } from './servers';

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
