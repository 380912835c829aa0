import {
  type ChatCompletionAnswer,
  chatCompletionAnswerSchema,
  type ChatCompletionInput,
  type ServeTarget,
} from '@lowrank/contracts';
import { type Served, World } from '../test/world';

let world: World;
let served: Served;
let target: ServeTarget;

beforeAll(async () => {
  world = await World.make();
  ({ target } = await world.addAdapter(4));
  served = await world.serve();
});
afterAll(async () => {
  await served.close();
  await world.end();
});

async function chat(to: ServeTarget, body: Partial<ChatCompletionInput> = {}): Promise<ChatCompletionAnswer> {
  const messages = [{ role: 'user' as const, content: '1+2' }];
  const response = await served.send(to, {
    kind: 'chat',
    body: { model: 'captain@v1', messages, temperature: 0, max_tokens: 12, ...body },
  });
  expect(response.status).toBe(200);
  return chatCompletionAnswerSchema.parse(await response.json());
}

describe('what a prompt has in common with an earlier one', () => {
  it('is told of in the usage, to the team that asked before', async () => {
    const long = [{ role: 'user' as const, content: 'the same beginning of many prompts, and more of it' }];
    const ask = () => chat(target, { messages: long, max_tokens: 4 });
    const first = await ask();
    const again = await ask();
    expect(first.usage.prompt_tokens_details).toEqual({ cached_tokens: 0 });
    const cached = again.usage.prompt_tokens_details.cached_tokens;
    expect(cached).toBeGreaterThan(0);
    expect(cached).toBeLessThan(again.usage.prompt_tokens);
    expect(again.choices).toEqual(first.choices);
  });
});

describe('a mix of adapters', () => {
  it('adds what each of them adds, times its weight', async () => {
    const { target: other } = await world.addAdapter(2);
    const [one, two] = [target.adapter, other.adapter].map((part) => part as NonNullable<typeof part>) as [
      NonNullable<ServeTarget['adapter']>,
      NonNullable<ServeTarget['adapter']>,
    ];
    const textOf = async (mix: ServeTarget['mix']) =>
      (await chat({ ...target, adapter: null, mix })).choices[0]?.message.content;
    const [alone] = (await chat(target)).choices;
    const [bare] = (await chat(world.baseTarget)).choices;
    const text = alone?.message.content;
    expect(text).not.toBe(bare?.message.content);
    expect(await textOf([{ adapter: one, weight: 1 }])).toBe(text);
    expect(
      await textOf([
        { adapter: one, weight: 0.25 },
        { adapter: one, weight: 0.75 },
      ]),
    ).toBe(text);
    expect(
      await textOf([
        { adapter: one, weight: 1 },
        { adapter: two, weight: 0 },
      ]),
    ).toBe(text);
    // What one adds, another takes away.
    expect(
      await textOf([
        { adapter: two, weight: 2 },
        { adapter: two, weight: -2 },
      ]),
    ).toBe(bare?.message.content);
  });

  it('is refused where one of them was trained with another template', async () => {
    const { target: other } = await world.addAdapter(2);
    const [one, two] = [target.adapter, other.adapter] as [
      NonNullable<ServeTarget['adapter']>,
      NonNullable<ServeTarget['adapter']>,
    ];
    const mix = [
      { adapter: one, weight: 1 },
      { adapter: { ...two, templateSha256: '0'.repeat(64) }, weight: 1 },
    ];
    const response = await served.send(
      { ...target, adapter: null, mix },
      { kind: 'chat', body: { model: 'm', messages: [{ role: 'user', content: 'Hi' }] } },
    );
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ error: { code: 'template_mismatch' } });
  });
});
