import { chatCompletionAnswerSchema, type ServeTarget } from '@lowrank/contracts';
import { makeBaseModel, writeTinyModel } from '@lowrank/testing';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestApi } from '../test/api';

/* The API in front of a server of its own, both as they are in the product. */
let api: TestApi;
let server: ChildProcess;
let folder: string;

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lowrank-serve-'));
  const port = await freePort();
  const env = {
    LOWRANK_SERVE_TOKEN: 'a-token-of-these-tests',
    // Nothing listens on the first: port 1 is nobody's.
    LOWRANK_SERVE_URLS: `http://127.0.0.1:1,http://127.0.0.1:${port}`,
  };
  api = await TestApi.start(env);
  server = fork(resolve(__dirname, '../../../serve/src/main.ts'), [], {
    env: {
      ...process.env,
      ...env,
      // Where the API of the tests keeps its objects.
      LOWRANK_DATA: api.folder,
      LOWRANK_SERVE_PORT: String(port),
      LOWRANK_LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const model = join(folder, 'model');
  await writeTinyModel(model);
  const files: ServeTarget['baseModel']['files'] = [];
  for (const path of await readdir(model))
    files.push({ path, ...(await api.blobs.putFile(join(model, path))) });
  await api.ports.unitOfWork.run(({ baseModels }) =>
    baseModels.insert(api.teamId, makeBaseModel({ name: 'tiny', files })),
  );
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/health`)
      .then(({ ok }) => ok)
      .catch(() => false);
  while (!(await isUp())) await sleep(50);
});
afterAll(async () => {
  const gone = once(server, 'exit');
  server.kill('SIGTERM');
  expect(await gone).toEqual([0, null]);
  await api.close();
  await rm(folder, { recursive: true });
});

const body = { model: 'tiny', messages: [{ role: 'user', content: '1+2' }], temperature: 0, max_tokens: 8 };

it('answers by the server that is there', async () => {
  const { choices, model } = chatCompletionAnswerSchema.parse(
    await api.call('POST', '/v1/chat/completions', 200, { json: body }),
  );
  expect(model).toBe('tiny');
  const text = choices[0]?.message.content ?? '';
  const stream = await api.fetch('POST', '/v1/chat/completions', { json: { ...body, stream: true } });
  expect(stream.headers.get('content-type')).toMatch(/^text\/event-stream/);
  const lines = (await stream.text()).trimEnd().split('\n\n');
  expect(lines.pop()).toBe('data: [DONE]');
  const pieces = lines.map((line) => JSON.parse(line.slice(6)).choices[0].delta.content ?? '');
  expect(pieces.join('')).toBe(text);
});

it("passes a server's refusal on", async () => {
  const messages = [{ role: 'user', content: 'x'.repeat(300) }];
  expect(await api.refusal('POST', '/v1/chat/completions', { json: { ...body, messages } })).toMatchObject({
    code: 'context_exceeded',
  });
});

it('names what a request asks for and is not had', async () => {
  const ask = (change: object) =>
    api.refusal('POST', '/v1/chat/completions', { json: { ...body, ...change } });
  expect(await ask({ model: 'none@v1' })).toMatchObject({
    code: 'not_found',
    message: "There is no model 'none@v1'.",
  });
  expect(await ask({ tools: [] })).toMatchObject({
    code: 'validation_failed',
    message: expect.stringContaining('tools'),
  });
  expect(await ask({ temperature: 3 })).toMatchObject({ details: [{ path: 'temperature' }] });
});
