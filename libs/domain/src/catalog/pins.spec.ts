import { moveAlias, removeAlias } from './aliases';
import { addPin, pinTargets, removePin } from './pins';
import { team, World } from '../test/world';

let world: World;
beforeEach(async () => {
  world = new World();
  await world.publish();
});

const actor = 'key_1';
const prod = { adapter: 'captain', ref: 'prod' };
const alias = { adapter: 'captain', alias: 'prod', actor };
const pin = (ref: string) => addPin(world, team, { adapter: 'captain', ref, actor });
const targets = () => world.unitOfWork.look((repositories) => pinTargets(repositories, null));

it('stands for the version that its alias stands on now, and for none when that is gone', async () => {
  await moveAlias(world, team, alias, { version: 'v1' });
  await pin('prod');
  expect(await targets()).toMatchObject([{ ...prod, teamId: team, version: 1 }]);
  const second = await world.publish();
  await moveAlias(world, team, alias, { version: 'v2' });
  expect(await targets()).toMatchObject([{ version: 2, target: { adapter: { id: second.id } } }]);
  await removeAlias(world, team, alias);
  expect(await targets()).toMatchObject([{ version: null, target: null }]);
});

it('is one, however a version is written', async () => {
  const made = await pin('1');
  expect(made.ref).toBe('v1');
  expect(await pin('v1')).toEqual(made);
  await removePin(world, team, { adapter: 'captain', ref: '1' });
  expect(await targets()).toEqual([]);
});

it('is of what is there', async () => {
  await expect(pin('v9')).rejects.toMatchObject({ code: 'not_found' });
  await expect(removePin(world, team, prod)).rejects.toMatchObject({
    code: 'not_found',
    message: "There is no pin 'captain@prod'.",
  });
});

it('is one of 500 at most', async () => {
  const of = { teamId: team, adapter: 'captain', createdAt: '2026-01-01T00:00:00.000Z', createdBy: actor };
  world.tables.pins.push(...Array.from({ length: 500 }, (_, i) => ({ ...of, ref: `a-${i}` })));
  await expect(pin('v1')).rejects.toMatchObject({ code: 'quota_exceeded' });
  await removePin(world, team, { adapter: 'captain', ref: 'a-0' });
  await expect(pin('v1')).resolves.toMatchObject({ ref: 'v1' });
});
