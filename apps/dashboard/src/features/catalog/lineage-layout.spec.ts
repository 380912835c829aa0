import { type Lineage } from '@lowrank/contracts';
import { labelOf, layoutOf } from './lineage-layout';

const version = (number: number) =>
  ({ type: 'version', id: `ver_${number}`, adapter: 'tone', number, recipe: null, isGone: false }) as const;
const base = { type: 'baseModel', id: 'base_1', name: 'tiny', revision: 'a' } as const;
const job = (n: number) => ({ type: 'job', id: `job_${n}` }) as const;

const lineage: Pick<Lineage, 'nodes' | 'edges'> = {
  nodes: [version(2), base, version(1), job(1), job(2), version(3)],
  edges: [
    { from: 'base_1', to: 'ver_1', kind: 'base' },
    { from: 'base_1', to: 'ver_2', kind: 'base' },
    { from: 'job_1', to: 'ver_1', kind: 'job' },
    { from: 'job_2', to: 'ver_2', kind: 'job' },
    { from: 'ver_1', to: 'ver_2', kind: 'continued' },
    { from: 'ver_1', to: 'ver_3', kind: 'combined' },
    { from: 'ver_2', to: 'ver_3', kind: 'combined' },
  ],
};

describe('layoutOf', () => {
  it('has every edge go to the right, and no two nodes at one place', () => {
    const { placed, width, height } = layoutOf(lineage);
    const at = new Map(placed.map(({ node, x }) => [node.id, x]));
    expect(placed).toHaveLength(lineage.nodes.length);
    for (const { from, to } of lineage.edges) expect(at.get(from)).toBeLessThan(at.get(to) ?? 0);
    expect(new Set(placed.map(({ x, y }) => `${x} ${y}`)).size).toBe(placed.length);
    expect([width, height]).toEqual([
      Math.max(...placed.map(({ x }) => x)) + 176,
      Math.max(...placed.map(({ y }) => y)) + 44,
    ]);
  });

  it('stands a circle that should not be', () => {
    const edges: Lineage['edges'] = [
      { from: 'ver_1', to: 'ver_2', kind: 'continued' },
      { from: 'ver_2', to: 'ver_1', kind: 'continued' },
    ];
    expect(layoutOf({ nodes: [version(1), version(2)], edges }).placed).toHaveLength(2);
  });
});

it('names nodes', () => {
  expect(labelOf(version(3))).toEqual({ kind: 'version', name: 'tone v3' });
  expect(labelOf({ ...version(3), isGone: true }).kind).toBe('deleted version');
  expect(labelOf(base).name).toBe('tiny');
  const dataset = { type: 'dataset', id: 'data_1', sha256: 'a', name: 'chats', version: 3 } as const;
  expect(labelOf(dataset)).toEqual({ kind: 'dataset', name: 'chats v3' });
  expect(labelOf({ ...dataset, name: null, version: null })).toEqual({
    kind: 'deleted dataset',
    name: 'data_1',
  });
});
