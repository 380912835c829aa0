import { team, World } from '../test/world';
import { compareVersions } from './compare-versions';

it('tells what differs between two versions, of two adapters too', async () => {
  const world = new World();
  await world.publish({
    recipe: { lora: { rank: 8, rankPattern: { q_proj: 4 } }, objective: { type: 'sft' } },
  });
  await world.publish({ adapter: 'mate', initFrom: 'captain@v1', recipe: { training: { steps: 9 } } });
  const [, second] = world.tables.versions;
  Object.assign(second as object, {
    metrics: { ...second?.metrics, trainLoss: 0.25, evalLossAfter: null },
    files: [
      { path: 'adapter_model.safetensors', sha256: '1'.repeat(64), bytes: 9 },
      { path: 'samples.json', sha256: '2'.repeat(64), bytes: 5 },
    ],
  });
  const from = { adapter: 'captain', version: 'v1' };
  const diff = await compareVersions(world, team, from, 'mate');
  expect(diff).toMatchObject({
    from: { adapter: 'captain', number: 1 },
    to: { adapter: 'mate', number: 1 },
    source: [{ path: 'parents', from: [], to: ['captain@v1 (continued)'] }],
    recipe: [{ path: 'training.steps', from: null, to: 9 }],
  });
  expect(diff.metrics).toContainEqual({ name: 'trainLoss', from: 1, to: 0.25, change: -0.75 });
  expect(diff.metrics).toContainEqual({ name: 'evalLossAfter', from: 1, to: null, change: null });
  expect(diff.files.map(({ path, status }) => `${path} ${status}`)).toEqual([
    'adapter_model.safetensors changed',
    'samples.json added',
  ]);
  const back = await compareVersions(world, team, { adapter: 'mate', version: 'latest' }, 'captain@v1');
  expect(back.files.map(({ status }) => status)).toEqual(['changed', 'removed']);
  const same = await compareVersions(world, team, from, 'captain@1');
  expect([same.source, same.recipe, same.files[0]?.status]).toEqual([[], [], 'same']);
  await expect(compareVersions(world, team, from, 'captain@v2')).rejects.toMatchObject({ code: 'not_found' });
});
