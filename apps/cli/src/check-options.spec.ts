import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { collected, readMeasure, splitCheck } from './check-options';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-checks-'));
  await writeFile(join(folder, 'answer.json'), '{"type": "object"}');
  await writeFile(join(folder, 'broken.json'), '{');
});
afterAll(() => rm(folder, { recursive: true }));

it.each([
  ['loss', { metric: 'loss' }],
  ['exact-match', { metric: 'exact-match', ignoreCase: false }],
  ['exact-match:i', { metric: 'exact-match', ignoreCase: true }],
  ['regex:^a:b$', { metric: 'regex', pattern: '^a:b$', flags: '' }],
])('reads %s', async (text, measure) => expect(await readMeasure(text)).toEqual(measure));

it('reads a schema from its file', async () => {
  const measure = await readMeasure(`json-schema:${join(folder, 'answer.json')}`);
  expect(measure).toEqual({ metric: 'json-schema', schema: { type: 'object' } });
});

it.each(['accuracy', 'exact-match:x', 'regex:', 'regex:(', 'json-schema:FOLDER/broken.json'])(
  'does not read %s',
  async (text) => {
    const refused = readMeasure(text.replace('FOLDER', folder));
    await expect(refused).rejects.toMatchObject({ options: { exitCode: 2 } });
  },
);

it.each([
  ['loss<=1.25', { measure: 'loss', threshold: 1.25, direction: 'at-most' }],
  ['regex:a>=b>=0.5', { measure: 'regex:a>=b', threshold: 0.5, direction: 'at-least' }],
])('splits %s', (text, check) => expect(splitCheck(text)).toEqual(check));

it.each(['loss', 'loss<1', '<=1', 'loss<=x'])('does not split %s', (text) =>
  expect(() => splitCheck(text)).toThrow(),
);

it('takes an option as often as it is given', () => {
  const take = collected(Number);
  expect(take('2', take('1', undefined))).toEqual([1, 2]);
});
