import { loadChatTokenizer } from '@lowrank/datasets';
import { tinyTemplate, toolTemplates, writeTinyModel } from '@lowrank/testing';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callFormatOf } from './call-format';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-calls-'));
  await writeTinyModel(folder);
});
afterAll(() => rm(folder, { recursive: true }));

async function formatOf(template: string) {
  await writeFile(join(folder, 'chat_template.jinja'), template);
  return callFormatOf(await loadChatTokenizer(folder));
}

it('reads off a template how calls are written', async () => {
  expect(await formatOf(toolTemplates.hermes)).toEqual({
    ...{ open: '<tool_call>\n', mark: '<tool_call>', endMark: '</tool_call>', key: 'arguments' },
  });
  expect(await formatOf(toolTemplates.llama3)).toEqual({
    ...{ open: '', mark: '', endMark: '', key: 'parameters' },
  });
});

it.each([
  ['shows no tools', tinyTemplate],
  ['writes no calls', '{{ tools }}{% for message in messages %}{{ message.content }}{% endfor %}'],
  [
    'writes calls otherwise',
    toolTemplates.hermes.replace('{"name": "', '<').replace('", "arguments": ', '>'),
  ],
  ['fails', "{{ raise_exception('no') }}"],
])('names a template that %s', async (_why, template) => {
  await expect(formatOf(template)).rejects.toMatchObject({
    code: 'validation_failed',
    details: [{ path: 'tools' }],
  });
});
