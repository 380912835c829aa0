import { readCsv } from './csv';
import { type SourceRow } from './source-row';

async function read(text: string | Buffer, maxLineBytes = 1000): Promise<SourceRow[]> {
  const bytes = Buffer.from(text);
  // Small chunks, so that lines and characters lie across them.
  const chunks = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) =>
    bytes.subarray(7 * i, 7 * i + 7),
  );
  const rows: SourceRow[] = [];
  for await (const row of readCsv(
    (async function* () {
      yield* chunks;
    })(),
    maxLineBytes,
  ))
    rows.push(row);
  return rows;
}

const row = (line: number, value: Record<string, unknown>): SourceRow => ({ line, value });
const problem = (line: number, message: RegExp, path?: string) => ({
  line,
  value: null,
  problem: { ...(path && { path }), message: expect.stringMatching(message) },
});

describe('readCsv', () => {
  it.each([',', ';', '\t', '|'])(
    'reads cells between %j, quoted ones with lines and quotes in them',
    async (d) => {
      const text =
        `\uFEFFprompt${d}"completion"\r\n` +
        `a${d}b\r\n\r\n` +
        `"two\r\n\r\nlines${d} ""quoted"""${d}"é🙂"\n` +
        `say "hi"${d}\n`;
      expect(await read(text)).toEqual([
        row(2, { prompt: 'a', completion: 'b' }),
        row(4, { prompt: `two\n\nlines${d} "quoted"`, completion: 'é🙂' }),
        row(7, { prompt: 'say "hi"', completion: '' }),
      ]);
    },
  );

  it('takes the delimiter that makes most columns, outside quotes', async () => {
    expect(await read('"a,b,c,d";e;f\n1;2;3\n')).toEqual([row(2, { 'a,b,c,d': '1', e: '2', f: '3' })]);
  });

  it('reads messages that a cell holds as JSON, and leaves other text alone', async () => {
    const messages = [{ role: 'user', content: 'a' }];
    const quoted = JSON.stringify(messages).replaceAll('"', '""');
    expect(await read(`messages,input\n"${quoted}","[1]"\n[{,x\n`)).toEqual([
      row(2, { messages, input: '[1]' }),
      problem(3, /messages is not JSON/, 'messages'),
    ]);
    expect(await read(`prompt,chosen,rejected\n[note] a,"${quoted}",[1]\n`)).toEqual([
      row(2, { prompt: '[note] a', chosen: messages, rejected: '[1]' }),
    ]);
  });

  it('names the line that a wrong record begins at, and goes on after it', async () => {
    const text = Buffer.concat([
      Buffer.from('prompt,completion\na\na,b,c\n"a" b,c\n'),
      Buffer.from([0x61, 0xff, 0x2c, 0x62, 0x0a]),
      Buffer.from(`${'x'.repeat(1001)},b\na,b\n"never,closed\na,b\n`),
    ]);
    expect(await read(text)).toEqual([
      problem(2, /has 1 cells, the header has 2/),
      problem(3, /has 3 cells/),
      problem(4, /text follows the closing quote of cell 1/),
      problem(5, /UTF-8/),
      problem(6, /longer than 1000 bytes/),
      row(7, { prompt: 'a', completion: 'b' }),
      problem(8, /never closed/),
    ]);
  });

  it('ends a quote that is not closed before it takes all memory', async () => {
    const rows = await read(`prompt,completion\n"a\n${'b\n'.repeat(600)}c,d\n`);
    expect(rows[0]).toEqual(problem(2, /not closed within 1000/));
  });

  it.each([
    ['a,a\n1,2\n', /two columns of the header are named 'a'/],
    ['a,,b\n1,2,3\n', /column 2 of the header has no name/],
  ])('refuses the header of %j', async (text, message) => {
    await expect(read(text)).rejects.toMatchObject({
      code: 'dataset_invalid',
      details: [{ line: 1, message: expect.stringMatching(message) }],
    });
  });

  it('has no rows without any', async () => {
    expect(await read('')).toEqual([]);
    expect(await read('a,b\n')).toEqual([]);
  });
});
