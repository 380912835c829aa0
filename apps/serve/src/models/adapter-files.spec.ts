import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdapterFiles } from './adapter-files';

let folder: string;
let fetched: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-adapter-files-'));
  fetched = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const bytes = 10;
/** Room for two adapters that nobody uses. */
const open = (): AdapterFiles =>
  new AdapterFiles({
    folder,
    diskBytes: 2 * bytes,
    fetch: async (at, files) => {
      if ((await readdir(at).catch(() => [])).length > 0) return;
      fetched.push(at.slice(folder.length + 1));
      await mkdir(at, { recursive: true });
      for (const file of files) await writeFile(join(at, file.path), 'x'.repeat(file.bytes));
    },
  });
const adapter = (id: string) => ({ id, files: [{ path: 'weights', sha256: id.repeat(64), bytes }] });
const use = (files: AdapterFiles, id: string) => files.use([adapter(id)], () => Promise.resolve());
const onDisk = async () => (await readdir(folder)).sort();

it('removes the longest unused, and brings it again when it is asked for', async () => {
  const files = open();
  for (const id of ['a', 'b', 'a', 'c']) await use(files, id);
  expect([await onDisk(), fetched, files.evicted, files.bytes]).toEqual([
    ['a', 'c'],
    ['a', 'b', 'c'],
    1,
    2 * bytes,
  ]);
  await use(files, 'b');
  expect([await onDisk(), fetched]).toEqual([
    ['b', 'c'],
    ['a', 'b', 'c', 'b'],
  ]);
});

it('knows after a restart what was used last', async () => {
  const before = open();
  for (const id of ['a', 'b', 'a']) await use(before, id);
  // Files know the time of their use to the clock of the disk.
  await utimes(join(folder, 'b'), new Date(), new Date(Date.now() - 1000));
  const after = open();
  await use(after, 'c');
  expect([await onDisk(), after.evicted]).toEqual([['a', 'c'], 1]);
});

it('removes nothing that is in use or pinned, and what is too much once nobody needs it', async () => {
  const files = open();
  files.pin(['a']);
  await use(files, 'a');
  await files.use([adapter('b'), adapter('c')], async () => {
    await use(files, 'd');
    expect(await onDisk()).toEqual(['a', 'b', 'c']);
  });
  expect(await onDisk()).toEqual(['a', 'c']);
  files.pin([]);
  await use(files, 'e');
  expect(await onDisk()).toEqual(['c', 'e']);
});
