import { snippetsOf } from './snippets';

const target = {
  url: 'http://127.0.0.1:7380',
  owner: 'default',
  isOwn: true,
  adapter: 'tone',
  ref: 'prod',
  baseModel: 'tiny',
};
const codeOf = (label: string, changes: Partial<typeof target> = {}) =>
  snippetsOf({ ...target, ...changes }).find((one) => one.label === label)?.code ?? '';

it('names the version to every program', () => {
  expect(codeOf('curl')).toContain('"model": "tone@prod"');
  expect(codeOf('PEFT')).toContain('"default/tone", revision="prod"');
  expect(codeOf('CLI')).toContain('lowrank pull tone@prod ./tone');
});

it("names another team's by that team", () => {
  const theirs = { isOwn: false, owner: 'research' };
  expect(codeOf('OpenAI', theirs)).toContain('model="research/tone@prod"');
  expect(codeOf('vLLM', theirs)).toContain('lowrank pull research/tone@prod ./tone');
});
