import { type LowrankError } from '@lowrank/contracts';
import { randomIds } from '@lowrank/domain';
import { makeManifest } from '@lowrank/testing';
import { SpecDatabase } from '../test/database';

const database = new SpecDatabase();
const run = database.run.bind(database);
const at = '2026-01-02T00:00:00.000Z';
const ten = Array.from({ length: 10 }, (_, index) => index);
const publish = (manifest: ReturnType<typeof makeManifest>) =>
  run(({ adapters }) => adapters.publish(database.crew.id, { id: randomIds.make('version'), manifest, at }));

it('ten publishers of ten jobs at once number their versions without gaps', async () => {
  const manifests = await Promise.all(ten.map(async () => makeManifest(await database.crew.addJob())));
  const versions = await Promise.all(manifests.map(publish));
  expect(versions.map((version) => version.number).sort((a, b) => a - b)).toEqual(ten.map((n) => n + 1));
  await run(async ({ adapters }) => {
    expect(await adapters.find(database.crew.id, 'captain')).toMatchObject({ latestVersion: 10 });
    const listed = await adapters.versions(database.crew.id, 'captain');
    expect(listed.map((version) => version.number)).toEqual(ten.map((n) => 10 - n));
  });
});

it('ten publishers of one job at once get the same row', async () => {
  const manifest = makeManifest(await database.crew.addJob());
  const versions = await Promise.all(ten.map(() => publish(manifest)));
  expect(versions).toEqual(ten.map(() => versions[0]));
  expect(versions[0]?.number).toBe(1);
});

it('a publisher that fails afterwards takes no number', async () => {
  const [a, b] = [await database.crew.addJob(), await database.crew.addJob()].map((job) => makeManifest(job));
  const failing = run(async ({ adapters }) => {
    await adapters.publish(database.crew.id, { id: 'ver_lost', manifest: a as never, at });
    throw new Error('died');
  });
  await expect(failing).rejects.toThrow('died');
  expect((await publish(b as never)).number).toBe(1);
});

it('is made once by ten at once, or refused for another base model', async () => {
  const made = await Promise.all(
    ten.map((index) =>
      run(({ adapters }) =>
        adapters.ensure(database.crew.id, {
          id: randomIds.make('adapter'),
          name: 'captain',
          baseModelName: index < 5 ? 'tiny' : 'large',
          at,
        }),
      ).catch((error: LowrankError) => error.code),
    ),
  );
  const [one] = await run(({ adapters }) => adapters.list(database.crew.id, { limit: 9 })).then(
    (p) => p.data,
  );
  const [winners, losers] =
    one?.baseModel === 'tiny' ? [made.slice(0, 5), made.slice(5)] : [made.slice(5), made.slice(0, 5)];
  expect(winners).toEqual(winners.map(() => one));
  expect(losers).toEqual(losers.map(() => 'conflict'));
});
