import { LowrankError } from '@lowrank/contracts';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { convertToChats, needsConversion } from './convert';

const lineBytes = 10_000;

describe('conversion to chats', () => {
  let folder: string;
  let source: string;
  let target: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-cli-'));
    source = join(folder, 'in.jsonl');
    target = join(folder, 'out.jsonl');
  });
  afterEach(() => rm(folder, { recursive: true }));

  const chat = (question: string, answer: string) => ({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  });

  it('turns question and answer into a chat', async () => {
    await writeFile(source, '{"question": "1+1?", "answer": "2"}\n\n{"question": "é", "answer": "#### 3"}');
    expect(await convertToChats(source, target, lineBytes)).toBe(2);
    const lines = (await readFile(target, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([chat('1+1?', '2'), chat('é', '#### 3')]);
  });

  it('names every wrong line and leaves nothing behind', async () => {
    await writeFile(source, '{"question": "a", "answer": "b"}\n{"question": "a"}\nno json\n');
    const error = await convertToChats(source, target, lineBytes).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(LowrankError);
    expect(error.code).toBe('dataset_invalid');
    expect(error.details.map(({ line }: { line: number }) => line)).toEqual([2, 3]);
    expect(await readdir(folder)).toEqual(['in.jsonl']);
  });

  it('rejects when the source is not there', async () => {
    await expect(convertToChats(join(folder, 'none'), target, lineBytes)).rejects.toThrow(/ENOENT/);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    ['{"question": "a", "answer": "b"}', true],
    ['{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', false],
    ['{"prompt": "a", "completion": "b"}', false],
    ['{"x": 1}', false],
    ['not json', false],
    ['', false],
  ])('tells by the first row whether a file needs it: %s', async (text, expected) => {
    await writeFile(source, text);
    expect(await needsConversion(source, lineBytes)).toBe(expected);
  });
});
