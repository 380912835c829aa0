import { parseLine, readLines, type Line } from './lines';

/** The lines of some bytes that arrive in chunks of `size`. */
async function lines(content: string | Buffer, limit = 1000, size = 1 << 20): Promise<Line[]> {
  const bytes = Buffer.from(content as string);
  const chunks = async function* () {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  };
  const all: Line[] = [];
  for await (const line of readLines(chunks(), limit)) all.push(line);
  return all;
}

const good = (line: number, text: string): Line => ({ line, text, problem: null });
const bad = (line: number, problem: string): Line => ({ line, text: null, problem });

describe('readLines', () => {
  it.each<[string, string | Buffer, Line[]]>([
    ['lines ended by LF', 'a\nb\n', [good(1, 'a'), good(2, 'b')]],
    ['no end of the last line', 'a\nb', [good(1, 'a'), good(2, 'b')]],
    ['lines ended by CRLF', 'a\r\nb\r\n', [good(1, 'a'), good(2, 'b')]],
    ['a carriage return inside', 'a\rb\n', [good(1, 'a\rb')]],
    ['blank lines, which still count', '\n \t\n\r\na\n\n', [good(4, 'a')]],
    ['a byte-order mark', '\uFEFFa\nb', [good(1, 'a'), good(2, 'b')]],
    ['a byte-order mark alone', '\uFEFF', []],
    ['nothing', '', []],
    ['more than ASCII', 'é🙂\n한', [good(1, 'é🙂'), good(2, '한')]],
    ['invalid UTF-8', Buffer.from([0xff, 0x0a, 0x61]), [bad(1, 'not valid UTF-8'), good(2, 'a')]],
    ['a character that is cut off', Buffer.from([0x61, 0xc3]), [bad(1, 'not valid UTF-8')]],
    ['a surrogate written as UTF-8', Buffer.from([0xed, 0xa0, 0x80]), [bad(1, 'not valid UTF-8')]],
  ])('reads %s, however it is cut into chunks', async (_case, content, expected) => {
    for (const size of [1, 2, 3, 1000]) expect(await lines(content, 100, size)).toEqual(expected);
  });

  it('drops a byte-order mark at the start only', async () => {
    expect(await lines('a\n\uFEFFb')).toEqual([good(1, 'a'), good(2, '\uFEFFb')]);
  });

  it.each([1, 3, 100])('refuses lines over the limit and goes on, in chunks of %i', async (size) => {
    const long = bad(2, 'longer than 5 bytes');
    expect(await lines('12345\n123456\nab\n', 5, size)).toEqual([good(1, '12345'), long, good(3, 'ab')]);
    expect(await lines('a\néééa\né\n', 5, size)).toEqual([good(1, 'a'), long, good(3, 'é')]);
    expect(await lines('a\n123456789', 5, size)).toEqual([good(1, 'a'), long]);
  });

  it('does not hold a line over the limit', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const endless = async function* () {
      for (let chunk = 0; chunk < 400; chunk += 1) {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
        yield Buffer.alloc(1 << 20, 0x61);
      }
      yield Buffer.from('\nb');
    };
    const all: Line[] = [];
    for await (const line of readLines(endless(), 1 << 20)) all.push(line);
    expect(all).toEqual([bad(1, `longer than ${1 << 20} bytes`), good(2, 'b')]);
    expect(most).toBeLessThan(200 << 20);
  });

  it('passes on the error of a stream that breaks', async () => {
    const breaking = async function* () {
      yield Buffer.from('a\nb');
      throw new Error('gone');
    };
    const seen: Line[] = [];
    const read = async () => {
      for await (const line of readLines(breaking(), 10)) seen.push(line);
    };
    await expect(read()).rejects.toThrow('gone');
    expect(seen).toEqual([good(1, 'a')]);
  });
});

describe('parseLine', () => {
  it('gives the value, or passes on the problem', () => {
    expect(parseLine(good(1, ' {"a": [1]} '))).toEqual({ value: { a: [1] }, problem: null });
    expect(parseLine(good(1, 'null'))).toEqual({ value: null, problem: null });
    expect(parseLine(bad(1, 'why'))).toEqual({ value: null, problem: 'why' });
  });

  it.each(['{"password": secret}', '{"a": "secret', 'secret', '{"a": 1} secret', '["secret" "x"]'])(
    'says that it is not JSON without quoting it: %s',
    (text) => {
      const { problem } = parseLine(good(1, text));
      expect(problem).toMatch(/^not JSON: \w+/);
      expect(problem).not.toContain('secret');
    },
  );

  it('reads deep nesting', () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(parseLine(good(1, deep)).problem).toBeNull();
    expect(parseLine(good(1, `${deep}]`)).problem).toMatch(/^not JSON/);
  });
});
