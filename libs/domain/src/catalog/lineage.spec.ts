import { team, World } from '../test/world';
import { readLineage } from './lineage';

it('is a graph from what was used to what was made', async () => {
  const world = new World();
  const first = await world.publish();
  const second = await world.publish({ initFrom: 'captain@v1', adapter: 'mate' });
  const third = await world.publish({ initFrom: 'mate@v1' });
  const read = (adapter: string, ref: string) => readLineage(world, team, adapter, ref);
  const lineage = await read('mate', 'latest');
  expect(lineage).toMatchObject({ of: second.id, isTruncated: false });
  const edges = lineage.edges.map(({ from, kind, to }) => `${from} ${kind} ${to}`);
  expect(edges).toContain(`${first.id} continued ${second.id}`);
  expect(edges).toContain(`${second.id} continued ${third.id}`);
  for (const { id, jobId, dataset, baseModel } of [first, second, third]) {
    expect(edges).toContain(`${jobId} job ${id}`);
    expect(edges).toContain(`${dataset?.id} data ${id}`);
    expect(edges).toContain(`${baseModel.id} base ${id}`);
  }
  const datasets = ({ nodes }: typeof lineage) => nodes.filter(({ type }) => type === 'dataset');
  const [used] = world.tables.datasets;
  const data = { type: 'dataset', id: used?.id, sha256: used?.sha256 };
  expect(datasets(lineage)).toEqual([{ ...data, name: used?.name, version: used?.version }]);
  world.tables.datasets.length = 0;
  expect(datasets(await read('mate', 'latest'))).toEqual([{ ...data, name: null, version: null }]);

  const names = ({ nodes }: typeof lineage) =>
    nodes.flatMap((node) =>
      node.type === 'version' ? [`${node.adapter} v${node.number} ${node.isGone}`] : [],
    );
  expect(names(lineage)).toEqual(['captain v1 false', 'mate v1 false', 'captain v2 false']);
  const recipes = ({ nodes }: typeof lineage) =>
    nodes.flatMap((node) => (node.type === 'version' ? [node.recipe] : []));
  expect(recipes(lineage)).toEqual([first.recipe, second.recipe, third.recipe]);

  // Its parent's row is gone; the name stays.
  world.tables.versions.shift();
  const without = await read('mate', 'v1');
  expect(names(without)).toEqual(['mate v1 false', 'captain v2 false', 'captain v1 true']);
  expect(recipes(without)).toEqual([second.recipe, third.recipe, null]);
  await expect(read('captain', 'v1')).rejects.toMatchObject({ code: 'not_found' });
});
