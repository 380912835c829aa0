import { team, World } from '../test/world';
import { moveAlias, removeAlias, rollBackAlias } from './aliases';
import { deleteAdapter, deleteVersion, restoreAdapter, restoreVersion } from './deletion';
import { findVersion } from './find-version';
import { readLineage } from './lineage';

const prod = { adapter: 'captain', alias: 'prod', actor: 'key_1' };
let world: World;
beforeEach(async () => {
  world = new World();
  for (let i = 0; i < 3; i++) await world.publish();
});

const find = (ref: string) => world.unitOfWork.look((all) => findVersion(all, team, 'captain', ref));
const remove = (ref: string) => deleteVersion(world, team, 'captain', ref);

it('hides a version until it is restored', async () => {
  await remove('v3');
  await expect(find('v3')).rejects.toMatchObject({ code: 'not_found' });
  expect((await find('latest')).number).toBe(2);
  await expect(remove('3')).rejects.toMatchObject({ code: 'not_found' });
  expect(await restoreVersion(world, team, 'captain', 'v3')).toMatchObject({ number: 3, deletedAt: null });
  expect((await find('latest')).number).toBe(3);
  expect(await restoreVersion(world, team, 'captain', 'v3')).toMatchObject({ number: 3 });
  await expect(restoreVersion(world, team, 'captain', 'v9')).rejects.toMatchObject({ code: 'not_found' });
});

it('never gives a number twice', async () => {
  await remove('v3');
  expect((await world.publish()).number).toBe(4);
});

it.each(['latest', 'prod', 'main'])('takes no name that moves: %s', async (ref) => {
  await moveAlias(world, team, prod, { version: 'v1' });
  await expect(remove(ref)).rejects.toMatchObject({ code: 'validation_failed' });
  await expect(restoreVersion(world, team, 'captain', ref)).rejects.toMatchObject({
    code: 'validation_failed',
  });
});

it('keeps a version that an alias stands on, and says which one', async () => {
  await moveAlias(world, team, prod, { version: 'v1' });
  await expect(remove('v1')).rejects.toMatchObject({
    code: 'in_use',
    message: "Version captain@v1 cannot be deleted: alias 'prod' (v1) stands on it.",
  });
  await moveAlias(world, team, prod, { version: 'v2' });
  await remove('v1');
  await expect(moveAlias(world, team, prod, { version: 'v1' })).rejects.toMatchObject({ code: 'not_found' });
  await expect(rollBackAlias(world, team, prod)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('captain@v1'),
  });
  await restoreVersion(world, team, 'captain', 'v1');
  expect(await rollBackAlias(world, team, prod)).toMatchObject({ version: 1 });
});

it('stays in the lineage of what was made from it, and with the jobs that start from it', async () => {
  const { id } = await world.publish({ adapter: 'mate', initFrom: 'captain@v1' });
  const waiting = await world.submit({ adapter: 'mate', initFrom: 'captain@v1' });
  await remove('v1');
  const { nodes } = await readLineage(world, team, 'mate', 'v1');
  expect(nodes).toContainEqual(expect.objectContaining({ adapter: 'captain', number: 1, isGone: true }));
  expect(nodes).toContainEqual(expect.objectContaining({ id, isGone: false }));
  expect(
    await world.unitOfWork.look(({ adapters }) =>
      adapters.versionById(team, waiting.initFrom?.versionId ?? ''),
    ),
  ).not.toBeNull();
  await expect(world.submit({ initFrom: 'captain@v1' })).rejects.toMatchObject({ code: 'not_found' });
});

it('deletes and restores an adapter with its versions, once nothing uses it', async () => {
  await moveAlias(world, team, prod, { version: 'v1' });
  const removeAll = () => deleteAdapter(world, team, 'captain');
  await expect(removeAll()).rejects.toMatchObject({
    code: 'in_use',
    message: expect.stringContaining("'prod'"),
  });
  await removeAlias(world, team, prod);
  await expect(removeAll()).rejects.toMatchObject({
    code: 'in_use',
    message: expect.stringContaining('3 of its jobs'),
  });
  for (const job of world.tables.jobs) job.state = 'succeeded';
  await remove('v2');
  await removeAll();
  await expect(find('v1')).rejects.toMatchObject({ code: 'not_found' });
  await expect(removeAll()).rejects.toMatchObject({ code: 'not_found' });
  await expect(world.submit()).rejects.toMatchObject({
    code: 'conflict',
    message: "Adapter 'captain' is deleted.",
  });
  const listed = async (deleted: boolean) =>
    (await world.unitOfWork.look(({ adapters }) => adapters.list(team, { limit: 9, deleted }))).data.length;
  expect([await listed(false), await listed(true)]).toEqual([0, 1]);
  expect(await restoreAdapter(world, team, 'captain')).toMatchObject({ latestVersion: 3, deletedAt: null });
  await expect(find('v2')).rejects.toMatchObject({ code: 'not_found' });
  await expect(restoreAdapter(world, team, 'none')).rejects.toMatchObject({ code: 'not_found' });
});
