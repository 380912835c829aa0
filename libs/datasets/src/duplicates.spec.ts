import { type DatasetFormat } from '@lowrank/contracts';
import { findDuplicates } from './duplicates';
import { signatureOf, similarity } from './minhash';

const pair = (prompt: string, completion: string): string => JSON.stringify({ prompt, completion });
function source(lines: string[], format: DatasetFormat = 'prompt-completion') {
  const stream = (async function* () {
    yield Buffer.from(lines.join('\n'));
  })();
  return { stream, format };
}

/** n words, each of them another. */
const words = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => `word${from + i}`);
const text = words(60).join(' ');
/** One word of sixty changed: 51 of 61 stretches of five words are shared. */
const similar = [...words(30), 'other', ...words(29, 31)].join(' ');

describe('findDuplicates', () => {
  it('finds rows that say the same, whatever their case, punctuation and white space', async () => {
    const report = await findDuplicates(
      source([
        pair('What is it?', 'A home.'),
        pair('Else', 'x'),
        '',
        pair('what  is IT', 'a home'),
        pair('What is it?', 'A home.'),
      ]),
      null,
      1000,
    );
    expect(report).toEqual({
      rows: 4,
      exact: { rows: 2, groups: [{ line: 1, copies: [4, 5] }] },
      near: { rows: 0, groups: [] },
      nearOf: 4,
      overlap: null,
    });
  });

  it('finds rows that say nearly the same, and not those that share some of it', async () => {
    const half = [...words(30), ...words(30, 500)].join(' ');
    const { exact, near } = await findDuplicates(
      source([pair('a', text), pair('a', half), pair('a', similar)]),
      null,
      10_000,
    );
    expect(exact.rows).toBe(0);
    expect(near).toEqual({ rows: 1, groups: [{ line: 1, copies: [3] }] });
  });

  it('finds what another dataset shares, in another format too, but not copies inside it', async () => {
    const chat = (content: string) =>
      JSON.stringify({
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content },
        ],
      });
    const { overlap, exact } = await findDuplicates(
      source([pair('a', 'one'), pair('a', text)]),
      source([chat('new'), chat('new'), chat('One!'), chat(similar)], 'chat'),
      10_000,
    );
    expect(exact.rows).toBe(0);
    expect(overlap).toEqual({
      rows: 4,
      exact: { rows: 1, groups: [{ line: 1, copies: [3] }] },
      near: { rows: 1, groups: [{ line: 2, copies: [4] }] },
    });
  });

  it('counts all copies and lists the first', async () => {
    const { exact } = await findDuplicates(source(Array<string>(100).fill(pair('a', 'b'))), null, 1000);
    expect([exact.rows, exact.groups.length, exact.groups[0]?.copies.length]).toEqual([99, 1, 20]);
  });

  it('tells calls of tools apart', async () => {
    const asks = (city: string) =>
      JSON.stringify({
        messages: [
          { role: 'assistant', content: null, tool_calls: [{ name: 'weather', arguments: { city } }] },
        ],
      });
    const { exact } = await findDuplicates(
      source([asks('Rome'), asks('Bern'), asks('Rome')], 'chat'),
      null,
      1000,
    );
    expect(exact.groups).toEqual([{ line: 1, copies: [3] }]);
  });

  it('names a row that cannot be used', async () => {
    await expect(findDuplicates(source(['{"prompt": 1}']), null, 1000)).rejects.toMatchObject({
      code: 'dataset_invalid',
      details: [{ line: 1 }],
    });
  });
});

it('estimates how much of two texts is the same', () => {
  const shared = (n: number) =>
    similarity(signatureOf(text), signatureOf([...words(n), ...words(60 - n, 900)].join(' ')));
  expect(shared(60)).toBe(1);
  expect(shared(0)).toBe(0);
  // 26 of 86 stretches are shared.
  expect(Math.abs(shared(30) - 26 / 86)).toBeLessThan(0.15);
});
