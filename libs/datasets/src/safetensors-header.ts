/*
 * The JSON of a safetensors header, entry by entry: what is wrong is found before anything behind it is parsed, and no more of the header is
 * in memory as values than its good entries. JSON.parse of the whole makes hundreds of megabytes of sixteen.
 */

/** The largest files have some ten thousand. So many are looked at in less than a tenth of a second. */
const MAX_ENTRIES = 32_768;
const MAX_METADATA = 10_000;
const MAX_NAME_BYTES = 4096;
/** A dtype, eight sizes and two offsets fit several times. */
const MAX_ENTRY_BYTES = 2048;

const [quote, backslash, opening, closing, colon, comma] = [0x22, 0x5c, 0x7b, 0x7d, 0x3a, 0x2c];
const blanks = new Set([0x20, 0x09, 0x0a, 0x0d]);

/** What is wrong with a header; without the file's name. */
export class HeaderError extends Error {}

/** Gives the name and the parsed value of every entry but `__metadata__`, which has to be of strings. Throws HeaderError. */
export function* entriesOfHeader(header: Buffer): Generator<[string, unknown]> {
  const names = new Set<string>();
  let at = 0;
  const fail = (what = 'the header is not JSON'): never => {
    throw new HeaderError(what);
  };
  const skipBlanks = (): void => {
    while (blanks.has(header[at] as number)) at += 1;
  };
  const take = (byte: number): boolean => {
    skipBlanks();
    if (header[at] !== byte) return false;
    at += 1;
    return true;
  };
  const need = (byte: number): void => void (take(byte) || fail());
  const parse = (begin: number, end: number): unknown => {
    try {
      return JSON.parse(header.toString('utf8', begin, end));
    } catch {
      return fail();
    }
  };
  /** Goes behind a string; where it began. */
  const passString = (): number => {
    skipBlanks();
    const begin = at;
    if (header[at] !== quote) fail();
    for (at += 1; header[at] !== quote; at += header[at] === backslash ? 2 : 1)
      if (at >= header.length) fail();
    at += 1;
    return begin;
  };
  /** The value of the object of a tensor, whose end is looked for before it is parsed. */
  const tensor = (name: string): unknown => {
    const wrong = (what: string): never => fail(`tensor '${name.slice(0, 200)}' ${what}`);
    skipBlanks();
    const begin = at;
    if (header[at] !== opening) return wrong('is not an object');
    for (let depth = 0; ;) {
      if (at >= header.length) fail();
      if (at - begin > MAX_ENTRY_BYTES) wrong(`has more than ${MAX_ENTRY_BYTES} bytes`);
      const byte = header[at];
      if (byte === quote) {
        passString();
        continue;
      }
      at += 1;
      if (byte === opening) depth += 1;
      else if (byte === closing && (depth -= 1) === 0) return parse(begin, at);
    }
  };
  const hasMembers = (): boolean => {
    need(opening);
    return !take(closing);
  };
  const hasMore = (): boolean => {
    if (take(comma)) return true;
    need(closing);
    return false;
  };
  const passMetadata = (): void => {
    if (!hasMembers()) return;
    let count = 0;
    do {
      if ((count += 1) > MAX_METADATA) fail('the metadata have too many entries');
      parse(passString(), at);
      need(colon);
      parse(passString(), at);
    } while (hasMore());
  };

  if (hasMembers())
    do {
      const begin = passString();
      if (at - begin > MAX_NAME_BYTES) fail(`a name has more than ${MAX_NAME_BYTES} bytes`);
      const name = parse(begin, at) as string;
      need(colon);
      if (names.has(name)) fail(`there are two entries '${name.slice(0, 200)}'`);
      if (names.size >= MAX_ENTRIES) fail('the header has too many entries');
      names.add(name);
      if (name === '__metadata__') passMetadata();
      else yield [name, tensor(name)];
    } while (hasMore());
  skipBlanks();
  if (at !== header.length) fail();
}
