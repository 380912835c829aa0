import { LengthCollector } from './lengths';
import { lengthStatistics } from './statistics';

/** Lengths of conversations of n tokens, of which the last is learnt. */
function lengthsOf(...lengths: number[]) {
  const collector = new LengthCollector();
  for (const n of lengths) {
    const lossMask = new Uint8Array(n);
    lossMask[n - 1] = 1;
    collector.add({ tokens: new Int32Array(n), lossMask });
  }
  return collector.lengths();
}

describe('lengthStatistics', () => {
  it('counts, sorts and sums', () => {
    expect(lengthStatistics(lengthsOf(100, 1, 31, 32, 64), 64)).toEqual({
      conversations: 5,
      tokens: 228,
      lossTokens: 5,
      mean: 45.6,
      percentiles: { p0: 1, p50: 32, p90: 100, p95: 100, p99: 100, p100: 100 },
      histogram: [
        { from: 0, to: 32, conversations: 2 },
        { from: 32, to: 64, conversations: 1 },
        { from: 64, to: 128, conversations: 2 },
      ],
      tooLong: { sequenceLength: 64, conversations: 1 },
    });
  });

  it('takes percentiles by nearest rank', () => {
    const hundred = lengthsOf(...Array.from({ length: 100 }, (_, i) => 100 - i));
    expect(lengthStatistics(hundred, 1).percentiles).toEqual({
      p0: 1,
      p50: 50,
      p90: 90,
      p95: 95,
      p99: 99,
      p100: 100,
    });
  });

  it('says nothing of nothing', () => {
    expect(lengthStatistics(lengthsOf(), 8)).toMatchObject({ conversations: 0, mean: 0, histogram: [] });
  });
});
