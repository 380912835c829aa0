import { type LengthStatistics, type TokenLengths } from '@lowrank/contracts';

/** The histogram's first bucket ends here. */
const FIRST_BUCKET = 32;

/** What there is to say about the lengths of conversations, of which `sequenceLength` tokens fit. */
export function lengthStatistics({ tokens, spans }: TokenLengths, sequenceLength: number): LengthStatistics {
  const sorted = tokens.slice().sort();
  const total = sorted.reduce((sum, length) => sum + length, 0);
  let lossTokens = 0;
  for (let i = 0; i < spans.length; i += 2) lossTokens += (spans[i + 1] as number) - (spans[i] as number);
  // Nearest rank: the least length that this share of conversations does not exceed.
  const at = (percent: number): number =>
    sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0;
  const histogram: LengthStatistics['histogram'] = [];
  let seen = 0;
  for (let from = 0, to = FIRST_BUCKET; seen < sorted.length; from = to, to *= 2) {
    const begin = seen;
    while (seen < sorted.length && (sorted[seen] as number) < to) seen += 1;
    histogram.push({ from, to, conversations: seen - begin });
  }
  let fitting = sorted.length;
  while (fitting > 0 && (sorted[fitting - 1] as number) > sequenceLength) fitting -= 1;
  return {
    conversations: sorted.length,
    tokens: total,
    lossTokens,
    mean: sorted.length === 0 ? 0 : total / sorted.length,
    percentiles: { p0: at(0), p50: at(50), p90: at(90), p95: at(95), p99: at(99), p100: at(100) },
    histogram,
    tooLong: { sequenceLength, conversations: sorted.length - fitting },
  };
}
