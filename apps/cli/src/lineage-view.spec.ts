import { type Lineage } from '@lowrank/contracts';
import { lineageRows } from './lineage-view';

const id = (letter: string) => `ver_${letter.repeat(24)}`;
const node = (letter: string, number: number, isGone = false) => ({
  ...{ type: 'version' as const, id: id(letter), adapter: 'captain', number, recipe: null, isGone },
});

it('tells which versions led to which, and which one was asked for', () => {
  const lineage: Lineage = {
    of: id('b'),
    nodes: [node('a', 1, true), node('b', 2), node('c', 3), { type: 'job', id: `job_${'a'.repeat(24)}` }],
    edges: [
      { from: id('a'), to: id('b'), kind: 'continued' },
      { from: `job_${'a'.repeat(24)}`, to: id('b'), kind: 'job' },
      { from: id('b'), to: id('c'), kind: 'combined' },
    ],
    isTruncated: false,
  };
  expect(lineageRows(lineage)).toEqual([
    ['captain@v1 (deleted)', 'continued', 'captain@v2 *'],
    ['captain@v2 *', 'combined', 'captain@v3'],
  ]);
});
