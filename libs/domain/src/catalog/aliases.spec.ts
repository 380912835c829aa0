import { isNewest } from '@lowrank/contracts';
import { team, World } from '../test/world';
import { moveAlias, removeAlias, rollBackAlias } from './aliases';
import { findVersion } from './find-version';

const actor = 'key_aaaaaaaaaaaaaaaaaaaaaaaa';
const prod = { adapter: 'captain', alias: 'prod', actor };

let world: World;
beforeEach(async () => {
  world = new World();
  for (let i = 0; i < 3; i++) await world.publish();
});

const move = (version: string) => moveAlias(world, team, prod, { version });
const resolve = (ref: string) =>
  world.unitOfWork.look((repositories) => findVersion(repositories, team, 'captain', ref));
const history = () =>
  world.unitOfWork.look(async ({ aliases }) =>
    (await aliases.moves(team, 'captain', 'prod', { limit: 99 })).map(
      ({ action, from, to }) => `${action} ${from} ${to}`,
    ),
  );

it('moves, and everything that names it follows', async () => {
  expect(await move('v1')).toMatchObject({ name: 'prod', version: 1, movedBy: actor });
  expect((await resolve('prod')).number).toBe(1);
  await move('latest');
  expect((await resolve('prod')).number).toBe(3);
  await moveAlias(world, team, { ...prod, alias: 'canary' }, { version: 'prod' });
  expect((await resolve('canary')).number).toBe(3);
});

it.each([
  ['v2', 2],
  ['2', 2],
  ['latest', 3],
  ['main', 3],
])('resolves %s to %d', async (ref, number) => expect((await resolve(ref)).number).toBe(number));

it.each(['v4', 'prod', '99'])('finds no version %s', async (ref) => {
  expect(isNewest(ref)).toBe(false);
  await expect(resolve(ref)).rejects.toMatchObject({
    code: 'not_found',
    message: `There is no version 'captain@${ref}'.`,
  });
});

it('rolls back step by step, later moves first', async () => {
  await move('v1');
  await move('v2');
  await move('v3');
  expect((await rollBackAlias(world, team, prod)).version).toBe(2);
  await move('v3');
  expect((await rollBackAlias(world, team, prod)).version).toBe(2);
  expect((await rollBackAlias(world, team, prod)).version).toBe(1);
  await expect(rollBackAlias(world, team, prod)).rejects.toMatchObject({ code: 'conflict' });
  expect(await history()).toEqual([
    'rollback 2 1',
    'rollback 3 2',
    'move 2 3',
    'rollback 3 2',
    'move 2 3',
    'move 1 2',
    'move null 1',
  ]);
});

it('writes nothing when it stands there already', async () => {
  await move('v1');
  expect(await move('1')).toMatchObject({ version: 1 });
  expect(await history()).toHaveLength(1);
});

it('begins anew after its removal', async () => {
  await move('v1');
  await removeAlias(world, team, prod);
  await expect(resolve('prod')).rejects.toMatchObject({ code: 'not_found' });
  await expect(removeAlias(world, team, prod)).rejects.toMatchObject({ code: 'not_found' });
  await move('v2');
  await expect(rollBackAlias(world, team, prod)).rejects.toMatchObject({ code: 'conflict' });
  expect(await history()).toEqual(['move null 2', 'remove 1 null', 'move null 1']);
});

it.each([
  ['an adapter', { ...prod, adapter: 'none' }, 'v1'],
  ['a version', prod, 'v9'],
  ['an alias', prod, 'canary'],
])('moves to nothing that is not there: %s', async (_what, change, version) => {
  await expect(moveAlias(world, team, change, { version })).rejects.toMatchObject({ code: 'not_found' });
  expect(await history()).toEqual([]);
});
