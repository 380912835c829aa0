import { type Dataset } from '@lowrank/contracts';
import { codeOf, makeDataset, makeJob } from '@lowrank/testing';
import { gate, SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
const remove = () => run(({ datasets }) => datasets.delete(database.crew.id, database.crew.dataset.id));

describe('a deletion and a job that is being made on it', () => {
  beforeEach(async () => void (await database.crew.addJob()));
  const insertJob = (afterwards: () => Promise<void> = async () => {}) =>
    run(async ({ jobs }) => {
      await jobs.insert(database.crew.id, makeJob(database.crew.baseModel, database.crew.dataset));
      await afterwards();
    });
  const finishAll = () => database.sql(`UPDATE jobs SET state = 'succeeded'`);

  it('wait for each other: the job came first', async () => {
    await finishAll();
    const inserted = gate();
    const told = gate();
    const inserting = insertJob(async () => {
      inserted.open();
      await told.passed;
    });
    await inserted.passed;
    const deletion = codeOf(remove());
    await database.untilBlocked();
    told.open();
    await inserting;
    expect(await deletion).toBe('in_use');
  });

  it('wait for each other: the deletion came first', async () => {
    await finishAll();
    const deleted = gate();
    const told = gate();
    const deleting = run(async ({ datasets }) => {
      const done = await datasets.delete(database.crew.id, database.crew.dataset.id);
      deleted.open();
      await told.passed;
      return done;
    });
    await deleted.passed;
    const insertion = codeOf(insertJob());
    await database.untilBlocked();
    told.open();
    expect(await deleting).toBe(true);
    expect(await insertion).toBe('not_found');
  });

  it('do not hold up other jobs on it', async () => {
    const inserted = gate();
    const told = gate();
    const inserting = insertJob(async () => {
      inserted.open();
      await told.passed;
    });
    await inserted.passed;
    await insertJob();
    told.open();
    await inserting;
    expect(await database.sql('SELECT id FROM jobs')).toHaveLength(3);
  });
});

it.each<Partial<Dataset>>([{ filename: 'a\0b.jsonl' }, { tokensOf: '\0' }])(
  'refuses NUL in %j',
  async (fields) => {
    const insert = run(({ datasets }) => datasets.insert(database.crew.id, makeDataset(fields)));
    expect(await codeOf(insert)).toBe('validation_failed');
  },
);

it('knows no dataset by a name with NUL', async () => {
  expect(await run(({ datasets }) => datasets.find(database.crew.id, 'data_\0'))).toBeNull();
});

it('refuses the dataset of a team that is not there, and the same id twice', async () => {
  const insert = (team: string, dataset: Dataset) => run(({ datasets }) => datasets.insert(team, dataset));
  expect(await codeOf(insert('team_none', makeDataset()))).toBe('conflict');
  expect(await codeOf(insert(database.crew.id, database.crew.dataset))).toBe('conflict');
});
