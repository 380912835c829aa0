import { type LowrankError } from '@lowrank/contracts';
import { codeOf, makeBaseModel } from '@lowrank/testing';
import { SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
const insert = async (overrides: Parameters<typeof makeBaseModel>[0]) => {
  const model = makeBaseModel(overrides);
  await run(({ baseModels }) => baseModels.insert(database.crew.id, model));
  return model;
};

it('of one name at once are one, and the other is name_taken', async () => {
  const answers = await Promise.all(
    [1, 2, 3, 4].map(() =>
      insert({ name: 'same' }).then(
        () => 'made',
        (error: LowrankError) => error.code,
      ),
    ),
  );
  expect(answers.sort()).toEqual(['made', 'name_taken', 'name_taken', 'name_taken']);
});

it('keep counts beyond 32 bits and what JSON can say', async () => {
  const model = await insert({
    parameters: Number.MAX_SAFE_INTEGER,
    source: "ö数🏴 '; --",
    files: [{ path: 'a"\\.bin', sha256: 'f'.repeat(64), bytes: 2 ** 50 }],
  });
  expect(await run(({ baseModels }) => baseModels.find(database.crew.id, model.id))).toEqual(model);
  expect(await database.sql(`SELECT parameters FROM base_models WHERE id = $1`, [model.id])).toEqual([
    { parameters: '9007199254740991' },
  ]);
});

it('of a release that kept no decoder have none', async () => {
  const model = await insert({ decoder: null });
  expect(await run(({ baseModels }) => baseModels.find(database.crew.id, model.id))).toEqual(model);
});

it.each([{ source: '\0' }, { files: [{ path: 'a\0', sha256: '', bytes: 0 }] }])(
  'refuse NUL in %j',
  async (overrides) => expect(await codeOf(insert(overrides))).toBe('validation_failed'),
);

it('stay while a job is on them', async () => {
  await database.crew.addJob();
  await expect(database.sql('DELETE FROM base_models')).rejects.toMatchObject({ code: '23503' });
});
