import { moveAlias } from './aliases';
import { findServable } from './find-servable';
import { team, World } from '../test/world';

let world: World;
beforeEach(() => (world = new World()));

const find = (model: string) =>
  world.unitOfWork.look((repositories) => findServable(repositories, team, model));
const idOf = async (model: string) => (await find(model)).target.adapter?.id;

it.each(['tiny', 'crew/tiny'])('finds the base model by %s, kept as a job would keep it', async (name) => {
  const { target, name: known } = await find(name);
  const { baseModel, adapter } = target;
  expect(known).toBe('tiny');
  expect(baseModel).toMatchObject({
    name: 'tiny',
    storage: { quantization: 'nf4', doubleQuantization: true },
  });
  expect(adapter).toBeNull();
});

it('finds versions of an adapter by number, alias and pinned name, with or without the team', async () => {
  const first = await world.publish();
  const second = await world.publish();
  await moveAlias(world, team, { adapter: 'captain', alias: 'prod', actor: 'key_1' }, { version: 'v1' });
  for (const name of ['captain@v1', 'captain@1', 'captain@prod', 'captain-v1', 'crew/captain@prod'])
    expect([name, await idOf(name)]).toEqual([name, first.id]);
  for (const name of ['captain', 'captain@latest', 'crew/captain', 'crew/captain-v2'])
    expect([name, await idOf(name)]).toEqual([name, second.id]);
  expect((await find('crew/captain@prod')).name).toBe('captain@v1');
});

it.each(['none', 'captain@v9', 'captain@none', 'captain-v9', 'others/captain', 'tiny@v1', ''])(
  'does not find %j',
  async (name) => {
    await world.publish();
    await expect(find(name)).rejects.toMatchObject({ code: 'not_found' });
  },
);

describe('a mix', () => {
  const mixed = (model: string, ...names: string[]) =>
    world.unitOfWork.look((repositories) =>
      findServable(
        repositories,
        team,
        model,
        names.map((name, i) => ({ model: name, weight: i + 0.5 })),
      ),
    );

  it('is of adapters on the base model that is named', async () => {
    const first = await world.publish();
    const second = await world.publish();
    expect(await mixed('tiny', 'captain@v1', 'captain')).toMatchObject({
      name: 'captain@v1+captain@v2',
      target: {
        baseModel: { name: 'tiny' },
        adapter: null,
        mix: [
          { adapter: { id: first.id, files: first.files }, weight: 0.5 },
          { adapter: { id: second.id }, weight: 1.5 },
        ],
      },
    });
  });

  it('says what cannot be mixed', async () => {
    await world.publish();
    await expect(mixed('captain', 'captain')).rejects.toMatchObject({
      code: 'validation_failed',
      details: [{ path: 'model' }],
    });
    await expect(mixed('tiny', 'captain', 'tiny')).rejects.toMatchObject({
      code: 'validation_failed',
      details: [{ path: 'lowrank.mix.1.model' }],
    });
    await expect(mixed('tiny', 'none')).rejects.toMatchObject({ code: 'not_found' });
  });
});
