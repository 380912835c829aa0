import { type DatasetStatistics } from '@lowrank/contracts';
import { statisticsLines } from './statistics-view';

const none = { rows: 0, groups: [] };
const statistics: DatasetStatistics = {
  baseModel: 'smol',
  lengths: {
    conversations: 3,
    tokens: 1500,
    lossTokens: 300,
    mean: 500,
    percentiles: { p0: 10, p50: 490, p90: 1000, p95: 1000, p99: 1000, p100: 1000 },
    histogram: [
      { from: 0, to: 32, conversations: 1 },
      { from: 32, to: 1024, conversations: 2 },
    ],
    tooLong: { sequenceLength: 512, conversations: 1 },
  },
  duplicates: {
    rows: 200_000,
    exact: { rows: 1, groups: [{ line: 1, copies: [3] }] },
    near: none,
    nearOf: 100_000,
    overlap: { rows: 7, exact: { rows: 2, groups: [{ line: 1, copies: [5, 6] }] }, near: none },
  },
};

it('shows lengths, copies and what is shared', () => {
  expect(statisticsLines(statistics)).toEqual([
    '3 conversations, 1,500 tokens of smol, 300 learnt.',
    'Tokens each: 10 to 1,000, mean 500.0, median 490, 90 % 1,000, 95 % 1,000, 99 % 1,000.',
    'Longer than 512 tokens: 1.',
    '',
    'tokens    conversations',
    `0–31      1              ${'#'.repeat(20)}`,
    `32–1,023  2              ${'#'.repeat(40)}`,
    '',
    'Copies of earlier rows: 1',
    '  line 1: again in lines 3',
    'Nearly the same as earlier rows among the first 100,000 rows: 0',
    'Rows of the other dataset that are here too, of 7: 2',
    '  line 1: there in lines 5, 6',
    'Rows of the other dataset that are nearly here: 0',
  ]);
});
