import { chatCompletionAnswerSchema, type ChatCompletionInput, type ChatMessage } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Served, World } from '../test/world';

let world: World;
let served: Served;
beforeAll(async () => {
  world = await World.make();
  served = await world.serve();
});
afterAll(async () => {
  await served.close();
  await world.end();
});

type Messages = ChatCompletionInput['messages'];
const first: Messages = [{ role: 'user', content: 'Say it.' }];

async function ask(messages: Messages, body: Partial<ChatCompletionInput>) {
  const completion = {
    kind: 'chat' as const,
    body: { model: 'tiny', messages, temperature: 0, max_tokens: 200, ...body },
  };
  const response = await served.send(world.baseTarget, completion);
  return chatCompletionAnswerSchema.parse(await response.json());
}

/** Tokens that were read again, and of these the ones that prompts have found. */
async function counts(): Promise<number[]> {
  const text = await (await served.ask('GET', '/metrics')).text();
  return ['read', 'reused'].map((type) =>
    Number(new RegExp(`reread_tokens_total\\{type="${type}"\\} (\\d+)`).exec(text)?.[1]),
  );
}

/** Waits until no more is read again. */
async function settled(): Promise<number> {
  for (let last = -1; ;) {
    const [read = 0] = await counts();
    if (read === last) return read;
    last = read;
    await sleep(200);
  }
}

it('has the pages of an answer ready for the next turn, which is answered as without', async () => {
  const schema = { const: 'ab '.repeat(40) };
  const { choices, usage } = await ask(first, {
    response_format: { type: 'json_schema', json_schema: { name: 'it', schema } },
  });
  const said = choices[0]?.message.content ?? '';
  expect(said).toBe(JSON.stringify(schema.const));
  const read = await settled();
  expect(read).toBeGreaterThan(80);

  const next: Messages = [...first, { role: 'assistant', content: said }, { role: 'user', content: 'And?' }];
  const answer = await ask(next, { max_tokens: 12 });
  const pages = Math.floor((usage.prompt_tokens + usage.completion_tokens) / 16);
  expect(answer.usage.prompt_tokens_details?.cached_tokens).toBe(16 * pages);
  const expected = await world.expected(next as ChatMessage[], null, 12);
  expect(answer.choices[0]?.message.content).toBe(expected.text);
  expect(await counts()).toEqual([await settled(), read]);
});
