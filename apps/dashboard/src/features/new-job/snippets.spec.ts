import { createJobSchema, type CreateJobInput } from '@lowrank/contracts';
import { execFileSync } from 'node:child_process';
import { parse } from 'yaml';
import { snippetsOf } from './snippets';

const request: CreateJobInput = {
  baseModel: 'sample',
  dataset: `data_${'a'.repeat(24)}`,
  adapter: 'captain',
  recipe: { lora: { rank: 8, dora: true }, training: { steps: null } },
  metadata: { note: "it's" },
};
const code = (label: string, asked = request): string =>
  snippetsOf(asked, 'http://host').find((one) => one.label === label)?.code ?? '';

it('says the same to a shell, which quotes do not break', () => {
  const script = `curl() { printf '%s' "\${!#}"; }\n${code('curl')}`;
  const body = execFileSync('bash', ['-c', script], { encoding: 'utf8' });
  expect(JSON.parse(body)).toEqual(request);
  expect(createJobSchema.safeParse(JSON.parse(body)).success).toBe(true);
});

it('says the same as YAML and as JSON', () => {
  expect(parse(code('YAML'))).toEqual(request);
  expect(JSON.parse(code('JSON'))).toEqual(request);
});

it('names the dataset to evaluate on', () => {
  const evaluated = { ...request, validationDataset: 'held-out@2' };
  expect(code('CLI', evaluated)).toContain(' --validation held-out@2 ');
  expect(code('openai', evaluated)).toContain('validation_file="held-out@2"');
  expect(code('openai')).not.toContain('validation_file');
});

it('says when and where, and that OpenAI has no words for it', () => {
  const scheduled: CreateJobInput = {
    ...request,
    ...{ priority: 5, placement: { deviceClasses: ['cpu', 'h100'], memoryBytes: 8e9 } },
    deadline: '2035-01-01T00:00:00.000Z',
  };
  expect(code('CLI', scheduled)).toContain(
    ' --priority 5 --device cpu h100 --memory 8 --deadline 2035-01-01T00:00:00.000Z ',
  );
  expect(code('openai', scheduled)).toMatch(/^# OpenAI's API has no priority, placement, deadline: /);
  expect(code('openai')).toMatch(/^from openai/);
  expect(code('openai')).toContain('metadata={"note":"it\'s"}');
});

it('names a recipe only where there is one, in the words of each', () => {
  expect(code('CLI')).toContain('--base sample --adapter captain --recipe recipe.json --watch');
  expect(code('openai')).toContain('"dora": True');
  expect(code('openai')).toContain('"steps": None');
  const bare = { ...request, recipe: {}, initFrom: 'captain@v2' };
  expect(code('CLI', bare)).toBe(
    `lowrank submit ${request.dataset} --from captain@v2 --adapter captain --watch`,
  );
  expect(code('openai', bare)).not.toContain('qlora');
});
