import { dropoutSeed, permutation, philox, Stream, type Block } from './random';

// kat_vectors of Random123 (https://github.com/DEShawResearch/random123, tests/kat_vectors), philox4x32-10
const zeros: Block = [0, 0, 0, 0];
const ones: Block = [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff];
const pi: Block = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];

const sorted = (order: Uint32Array): number[] => [...order].sort((a, b) => a - b);

describe('philox', () => {
  it.each<[string, Block, [number, number], Block]>([
    ['zeros', zeros, [0, 0], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]],
    ['ones', ones, [0xffffffff, 0xffffffff], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]],
    ['digits of pi', pi, [0xa4093822, 0x299f31d0], [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]],
  ])('gives the published answer for %s', (_title, counter, key, expected) => {
    expect(philox(counter, key)).toEqual(expected);
  });
});

describe('permutation', () => {
  it.each([0, 1, 2, 3, 5, 1000])('holds each of %i indices once', (n) => {
    expect(sorted(permutation(n, 7, Stream.Shuffle, 3))).toEqual(Array.from({ length: n }, (_, i) => i));
  });

  it('is a function of its arguments', () => {
    expect(permutation(50, 7, Stream.Shuffle, 3)).toEqual(permutation(50, 7, Stream.Shuffle, 3));
  });

  it.each([
    ['seed', 8, Stream.Shuffle, 3],
    ['seed 2^32 further', 7 + 2 ** 32, Stream.Shuffle, 3],
    ['stream', 7, Stream.Split, 3],
    ['round', 7, Stream.Shuffle, 4],
  ])('has nothing to do with that of another %s', (_title, seed, stream, round) => {
    const one = permutation(1000, 7, Stream.Shuffle, 3);
    const other = permutation(1000, seed, stream, round);
    // Two random orders of 1000 share one place on average; twelve are as good as impossible.
    expect(one.filter((value, i) => value === other[i]).length).toBeLessThan(12);
  });

  it('tells the largest seeds apart', () => {
    const largest = Number.MAX_SAFE_INTEGER;
    expect(permutation(50, largest, Stream.Split, 0)).not.toEqual(
      permutation(50, largest - 1, Stream.Split, 0),
    );
  });

  it('draws every order of three equally often', () => {
    const counts = new Map<string, number>();
    for (let round = 0; round < 6000; round += 1) {
      const key = permutation(3, 1, Stream.Shuffle, round).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // 1000 ± 5 standard deviations of a binomial with p = 1/6.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(145);
  });
});

describe('dropoutSeed', () => {
  it('differs by seed, step and micro-batch', () => {
    const seeds = [0, 1, 2 ** 32, 2 ** 32 + 1].flatMap((seed) =>
      Array.from({ length: 200 }, (_, i) => dropoutSeed(seed, i % 20, Math.floor(i / 20))),
    );
    expect(new Set(seeds).size).toBe(800);
    expect(seeds.every((seed) => seed >= 0n && seed < 2n ** 64n)).toBe(true);
    // Both halves carry randomness.
    expect(seeds.some((seed) => seed >> 63n === 1n)).toBe(true);
    expect(seeds.some((seed) => ((seed >> 31n) & 1n) === 1n)).toBe(true);
  });
});
