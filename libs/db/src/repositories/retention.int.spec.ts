import { makeDataset, makeExportManifest, makeManifest, seedTeam, putInState } from '@lowrank/testing';
import { SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const day = (n: number) => new Date(Date.UTC(2026, 0, n)).toISOString();
const blob = (digit: string) => digit.repeat(64);
const file = (digit: string) => ({ path: `file-${digit}`, sha256: blob(digit), bytes: 1 });

/** A version of an adapter with these files, which was deleted on a day. */
async function deletedVersion(adapter: string, files: string[], deleted: string | null) {
  const job = await database.crew.addJob({ adapter });
  const manifest = makeManifest(job, { files: files.map(file) });
  const id = `ver_${job.id.slice(4)}`;
  return database.run(async ({ adapters, jobs }) => {
    const version = await adapters.publish(database.crew.id, { id, manifest, at: day(1) });
    await adapters.setVersionDeleted(database.crew.id, adapter, version.number, deleted);
    await putInState(jobs, job.id, 'succeeded');
    return version;
  });
}
const remove = (before: string) =>
  database.run(async ({ retention }) => [
    await retention.removeVersions(before, 9),
    await retention.removeAdapters(before, 9),
  ]);
const discarded = (before = '2100-01-01T00:00:00.000Z') =>
  database.run(({ retention }) => retention.discarded(before, 99));
const unreferenced = (...digits: string[]) =>
  database.run(({ retention }) => retention.unreferenced(digits.map(blob)));

it('removes versions that were deleted long enough ago, and notes their files since then', async () => {
  const old = await deletedVersion('captain', ['1', '2'], day(3));
  await deletedVersion('captain', ['2', '3'], day(20));
  await deletedVersion('captain', ['4'], null);
  const exported = makeExportManifest(await database.crew.addJob(), old.id, { files: [file('5')] });
  await database.run(({ exports }) => exports.publish(database.crew.id, exported, day(2)));
  expect(await remove(day(10))).toEqual([1, 0]);
  expect(await discarded(day(3))).toEqual([]);
  expect((await discarded(day(4))).sort()).toEqual([blob('1'), blob('2'), blob('5')]);
  // Another version has it still.
  expect(await unreferenced('1', '2', '4', '5')).toEqual([blob('1'), blob('5')]);
  const { crew } = database;
  const numbers = await database.run(({ adapters }) => adapters.versions(crew.id, 'captain', true));
  expect(numbers.map(({ number }) => number)).toEqual([2]);
  await database.run(({ retention }) => retention.forget([blob('1'), blob('2')]));
  expect(await discarded()).toEqual([blob('5')]);
});

it('leaves versions that an unfinished job works with', async () => {
  const { id, number, files } = await deletedVersion('captain', ['1'], day(3));
  const initFrom = { versionId: id, adapter: 'captain', number };
  const job = await database.crew.addJob({ initFrom });
  expect(await remove(day(10))).toEqual([0, 0]);
  const version = { id, adapter: 'captain', number, files };
  const work = { kind: 'export' as const, version, format: 'merged' as const };
  const other = await database.crew.addJob({ work: { ...work, thresholds: { klMean: 1, agreement: 0 } } });
  const end = (jobId: string) => database.run(({ jobs }) => putInState(jobs, jobId, 'failed'));
  await end(job.id);
  expect(await remove(day(10))).toEqual([0, 0]);
  await end(other.id);
  expect(await remove(day(10))).toEqual([1, 0]);
});

it('removes an adapter with its versions, all but the name while it has jobs', async () => {
  await deletedVersion('captain', ['1'], null);
  const { crew } = database;
  await database.run(async ({ adapters }) => {
    await adapters.describe(crew.id, 'captain', { description: 'told', tags: ['x'], card: '#', at: day(2) });
    await adapters.setDeleted(crew.id, 'captain', day(3));
  });
  expect(await remove(day(10))).toEqual([1, 0]);
  expect(await discarded(day(4))).toEqual([blob('1')]);
  const rows = () => database.sql(`SELECT description, card, tags, latest_version FROM adapters`);
  expect(await rows()).toEqual([{ description: '', card: null, tags: [], latest_version: null }]);
  await database.sql('DELETE FROM jobs');
  expect(await remove(day(10))).toEqual([0, 1]);
  expect(await rows()).toEqual([]);
});

it('notes the bytes of a deleted dataset, and knows who else needs a blob', async () => {
  const { crew } = database;
  const twins = [makeDataset({ sha256: blob('6') }), makeDataset({ sha256: blob('6') })];
  const other = await seedTeam(database.unitOfWork, 'other');
  await database.run(async ({ datasets }) => {
    await datasets.insert(crew.id, twins[0] as (typeof twins)[0]);
    await datasets.insert(other.id, twins[1] as (typeof twins)[0]);
    await datasets.delete(crew.id, twins[0]?.id ?? '');
  });
  expect(await discarded()).toEqual([blob('6')]);
  expect(await unreferenced('6')).toEqual([]);
  await database.run(({ datasets }) => datasets.delete(other.id, twins[1]?.id ?? ''));
  expect(await unreferenced('6')).toEqual([blob('6')]);
  const [base] = other.baseModel.files;
  const inUse = [base?.sha256 ?? '', crew.dataset.sha256];
  expect(await database.run(({ retention }) => retention.unreferenced(inUse))).toEqual([]);
});

it('notes the files of an export in whose place another has come', async () => {
  const version = await deletedVersion('captain', ['1'], null);
  const publish = async (digit: string) => {
    const manifest = makeExportManifest(await database.crew.addJob(), version.id, { files: [file(digit)] });
    await database.run(({ exports }) => exports.publish(database.crew.id, manifest, day(2)));
  };
  await publish('7');
  expect(await discarded()).toEqual([]);
  await publish('8');
  expect(await discarded()).toEqual([blob('7')]);
});

it('has the files of checkpoints that were replaced go at once, and those of jobs that ended long ago', async () => {
  const { crew } = database;
  const job = await crew.addJob();
  const keep = (step: number, digit: string) =>
    database.run(({ checkpoints }) =>
      checkpoints.put(job.id, step, makeManifest(job, { files: [file(digit)] }), day(1)),
    );
  const long = '1980-01-01T00:00:00.000Z';
  const early = () => database.run(({ retention }) => retention.discarded(long, 10));
  for (const [step, digit] of [
    [1, '1'],
    [2, '2'],
    [3, '3'],
    [3, '4'],
  ] as const)
    await keep(step, digit);
  await database.run(({ checkpoints }) => checkpoints.remove(job.id, [1]));
  expect(await early()).toEqual([blob('1'), blob('3')]);
  const all = ['1', '2', '3', '4'].map(blob);
  expect(await database.run(({ retention }) => retention.unreferenced(all))).toEqual([blob('1'), blob('3')]);

  const remove = () => database.run(({ retention }) => retention.removeCheckpoints(day(9), 10));
  expect(await remove()).toBe(0);
  const version = await deletedVersion('captain', ['4'], null);
  await database.run(({ checkpoints }) => checkpoints.setVersion(job.id, 3, version.id));
  await database.run(({ jobs }) => putInState(jobs, job.id, 'cancelled', { finishedAt: day(8) }));
  expect(await remove()).toBe(1);
  expect(await database.run(({ checkpoints }) => checkpoints.list(job.id))).toMatchObject([{ step: 3 }]);
});

it('lets who answers requests delete, and see nothing of it', async () => {
  const { crew } = database;
  const dataset = makeDataset({ sha256: blob('9') });
  const mine = database.unitOfWork.forTeam(crew.id);
  await mine.run(({ datasets }) => datasets.insert(crew.id, dataset));
  expect(await mine.run(({ datasets }) => datasets.delete(crew.id, dataset.id))).toBe(true);
  expect(await discarded()).toEqual([blob('9')]);
});
