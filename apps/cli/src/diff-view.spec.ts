import { type VersionDiff } from '@lowrank/contracts';
import { diffTables } from './diff-view';

const named = (number: number) => ({ versionId: `ver_${'a'.repeat(24)}`, adapter: 'captain', number });

it('shows what there is to tell, and nothing else', () => {
  const diff: VersionDiff = {
    from: named(1),
    to: named(2),
    source: [],
    recipe: [{ path: 'lora.targets', from: ['q_proj'], to: 'all-linear' }],
    metrics: [
      { name: 'trainLoss', from: 1, to: 1.5, change: 0.5 },
      { name: 'steps', from: 9000, to: 100, change: -8900 },
      { name: 'evalLossAfter', from: null, to: 0.25, change: null },
    ],
    evaluations: [
      {
        ...{ dataset: { filename: 'held.jsonl', sha256: '1'.repeat(64) }, from: 0.5, to: 0.75, change: 0.25 },
        measure: { metric: 'exact-match', ignoreCase: true },
      },
    ],
    files: [{ path: 'a', status: 'removed', from: { sha256: '0'.repeat(64), bytes: 2500 }, to: null }],
  };
  expect(diffTables(diff)).toEqual([
    {
      title: 'Recipe',
      head: ['FIELD', 'captain@v1', 'captain@v2'],
      rows: [['lora.targets', '["q_proj"]', 'all-linear']],
    },
    {
      title: 'Metrics',
      head: ['METRIC', 'captain@v1', 'captain@v2', 'CHANGE'],
      rows: [
        ['trainLoss', '1', '1.5000', '+0.5000'],
        ['steps', '9,000', '100', '-8,900'],
        ['evalLossAfter', '–', '0.2500', '–'],
      ],
    },
    {
      title: 'Evaluations',
      head: ['MEASURE', 'captain@v1', 'captain@v2', 'CHANGE'],
      rows: [['exact-match:i on held.jsonl', '0.5000', '0.7500', '+0.2500']],
    },
    {
      title: 'Files',
      head: ['FILE', 'captain@v1', 'captain@v2', ''],
      rows: [['a', '2.5 kB', '–', 'removed']],
    },
  ]);
});
