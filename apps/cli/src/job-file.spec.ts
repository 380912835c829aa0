import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isJobFile, readJobFile } from './job-file';

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'))));
afterAll(() => rm(folder, { recursive: true }));

const read = async (text: string) => {
  const path = join(folder, 'job.yaml');
  await writeFile(path, text);
  return readJobFile(path);
};

it.each<[string, boolean]>([
  ['job.yaml', true],
  ['job.YML', true],
  ['chats.jsonl', false],
  ['yaml', false],
])('%s is a job: %s', (name, isJob) => expect(isJobFile(name)).toBe(isJob));

it('reads a job with what it says, and no more', async () => {
  const text =
    '# as the dashboard writes it\nbaseModel: sample\ndataset: chats@2\nadapter: captain\nrecipe:\n  lora:\n    rank: 8\n';
  expect(await read(text)).toEqual({
    ...{ baseModel: 'sample', dataset: 'chats@2', adapter: 'captain' },
    recipe: { lora: { rank: 8 } },
  });
});

it.each<[string, RegExp]>([
  ['baseModel: sample\nrecipe: {lora: {rank: 0}}', /dataset: .*\n.*adapter: .*\n.*recipe\.lora\.rank: /],
  ['baseModel: [', /is not YAML: /],
  ['just text', /is not a job:\n {2}it: /],
  [`adapter: ${'a'.repeat(1 << 20)}`, /too much for a job/],
])('refuses %.30j', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message);
  await expect(readJobFile(join(folder, 'none.yaml'))).rejects.toThrow(/cannot read/);
});
