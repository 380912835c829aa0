import { all, type Characters, digits, lineEnds, others, spaces, union, wordCharacters } from './characters';

/** A regular expression, of what a pattern of JSON Schema (ECMA-262, with the flag u) has that is regular. */
export type Regex =
  | { kind: 'characters'; set: Characters }
  | { kind: 'sequence'; parts: Regex[] }
  | { kind: 'choice'; options: Regex[] }
  /** `max` may be Infinity. */
  | { kind: 'repeat'; of: Regex; min: number; max: number };

/** What a text is to be of as a whole, or not to be of. */
export interface Look {
  regex: Regex;
  negated: boolean;
}

/** What a pattern is not, to be told to whoever wrote it. */
export class RegexError extends Error {}

/** Repetitions are written out. */
const mostRepeats = 1000;
/** Groups in groups; parsed by recursion. */
const mostGroups = 50;

export const anything: Regex = {
  kind: 'repeat',
  of: { kind: 'characters', set: all },
  min: 0,
  max: Infinity,
};

const controls: Record<string, number> = { n: 0x0a, r: 0x0d, t: 0x09, f: 0x0c, v: 0x0b };
const classes: Record<string, Characters> = {
  ...{ d: digits, w: wordCharacters, s: spaces },
  ...{ D: others(digits), W: others(wordCharacters), S: others(spaces) },
};
/** What a backslash takes its meaning from. */
const syntax = /[\^$\\.*+?()[\]{}|/-]/;
const only = (point: number): Characters => [[point, point]];

/**
 * What a text has to be as a whole for a pattern to be found in it: where it does not begin with ^ or end with $, anything may stand before or
 * after. What it looks ahead for right after ^ comes first. Error: RegexError.
 */
export const parsePattern = (pattern: string): Look[] => new Parser(pattern).pattern();

class Parser {
  private readonly characters: string[];
  private at = 0;
  private depth = 0;
  /** What ends the outermost alternatives; undefined: the end does. */
  private end: string | undefined;

  constructor(text: string) {
    this.characters = Array.from(text);
  }

  pattern(): Look[] {
    const isAnchored = this.eats('^');
    const looks = isAnchored ? this.looks() : [];
    const options = [this.anchored(isAnchored)];
    while (this.eats('|')) {
      if (looks.length > 0) this.fail('a look around in one of several alternatives');
      options.push(this.anchored(this.eats('^')));
    }
    if (this.at < this.characters.length) this.fail(`'${this.peek()}' without its other half`);
    return [...looks, { regex: { kind: 'choice', options }, negated: false }];
  }

  /** What is looked ahead for, from the text's beginning. */
  private looks(): Look[] {
    const looks: Look[] = [];
    while (['(?=', '(?!'].includes(this.characters.slice(this.at, this.at + 3).join(''))) {
      const negated = this.characters[this.at + 2] === '!';
      this.at += 3;
      this.end = ')';
      const options: Regex[] = [];
      do {
        this.eats('^');
        options.push(this.anchored(true));
      } while (this.eats('|'));
      if (!this.eats(')')) this.fail("'(' without its other half");
      this.end = undefined;
      looks.push({ regex: { kind: 'choice', options }, negated });
    }
    return looks;
  }

  private anchored(fromStart: boolean): Regex {
    const parts = this.sequence();
    const toEnd = this.eats('$');
    return {
      kind: 'sequence',
      parts: [...(fromStart ? [] : [anything]), ...parts, ...(toEnd ? [] : [anything])],
    };
  }

  private choice(): Regex {
    const options: Regex[] = [{ kind: 'sequence', parts: this.sequence() }];
    while (this.eats('|')) options.push({ kind: 'sequence', parts: this.sequence() });
    return { kind: 'choice', options };
  }

  private sequence(): Regex[] {
    const parts: Regex[] = [];
    for (let next = this.peek(); next !== undefined && !'|)'.includes(next); next = this.peek()) {
      if (next === '$' && this.depth === 0 && [this.end, '|'].includes(this.characters[this.at + 1])) break;
      parts.push(this.repeated(this.atom()));
    }
    return parts;
  }

  private repeated(of: Regex): Regex {
    const next = this.peek();
    let [min, max] = [1, 1];
    if (this.eats('*')) [min, max] = [0, Infinity];
    else if (this.eats('+')) [min, max] = [1, Infinity];
    else if (this.eats('?')) [min, max] = [0, 1];
    else if (next === '{') [min, max] = this.counts();
    else return of;
    // Which of several ways a text is understood is of no interest.
    this.eats('?');
    if ('*+?{'.includes(this.peek() ?? '-')) this.fail('a repetition of a repetition');
    return { kind: 'repeat', of, min, max };
  }

  private counts(): [number, number] {
    const rest = this.characters.slice(this.at, this.at + 20).join('');
    const [whole = '', least = '', comma, most = ''] = /^\{(\d+)(,(\d*))?\}/.exec(rest) ?? [];
    if (whole === '') this.fail('a { that counts nothing');
    this.at += whole.length;
    const min = Number(least);
    const max = comma === undefined ? min : most === '' ? Infinity : Number(most);
    if (min > max) this.fail(`${whole}, which counts backwards`);
    if (min > mostRepeats || (max !== Infinity && max > mostRepeats))
      this.fail(`more than ${mostRepeats} repetitions`);
    return [min, max];
  }

  private atom(): Regex {
    const next = this.take();
    switch (next) {
      case '.':
        return { kind: 'characters', set: others(lineEnds) };
      case '[':
        return { kind: 'characters', set: this.set() };
      case '(':
        return this.group();
      case '\\':
        return { kind: 'characters', set: this.escape(false) };
      case '^':
      case '$':
        return this.fail(`${next} elsewhere than at an end`);
      case '*':
      case '+':
      case '?':
      case '{':
      case '}':
      case ']':
        return this.fail(`'${next}' where it has no meaning`);
      default:
        return { kind: 'characters', set: only(next.codePointAt(0) as number) };
    }
  }

  private group(): Regex {
    if (this.eats('?')) {
      const kind = this.take();
      if (kind === '<' && !'=!'.includes(this.peek() ?? '=')) while (this.take() !== '>');
      else if (kind !== ':') this.fail('a look around');
    }
    if ((this.depth += 1) > mostGroups) this.fail(`more than ${mostGroups} groups in each other`);
    const inner = this.choice();
    this.depth -= 1;
    if (!this.eats(')')) this.fail("'(' without its other half");
    return inner;
  }

  /** What stands for characters after a backslash. */
  private escape(inSet: boolean): Characters {
    const letter = this.take();
    const known = classes[letter];
    if (known !== undefined) return known;
    if (controls[letter] !== undefined) return only(controls[letter]);
    if (inSet && letter === 'b') return only(0x08);
    if (syntax.test(letter)) return only(letter.codePointAt(0) as number);
    if (letter === 'x') return only(this.hex(2));
    if (letter === 'u') {
      if (!this.eats('{')) return only(this.hex(4));
      let text = '';
      for (let next = this.take(); next !== '}'; next = this.take()) text += next;
      if (!/^[0-9a-fA-F]{1,6}$/.test(text) || parseInt(text, 16) > 0x10ffff) this.fail(`\\u{${text}}`);
      return only(parseInt(text, 16));
    }
    return this.fail(/\d|k/.test(letter) ? 'a reference to a group' : `\\${letter}`);
  }

  private hex(count: number): number {
    const text = this.characters.slice(this.at, this.at + count).join('');
    if (!/^[0-9a-fA-F]+$/.test(text) || text.length < count)
      this.fail(`an escape of ${count} digits without them`);
    this.at += count;
    return parseInt(text, 16);
  }

  private set(): Characters {
    const isNegated = this.eats('^');
    const sets: Characters[] = [];
    while (!this.eats(']')) {
      const low = this.member();
      if (this.peek() !== '-' || this.characters[this.at + 1] === ']') {
        sets.push(low);
        continue;
      }
      this.take();
      const high = this.member();
      const [from, to] = [low, high].map(([range, more]) =>
        range === undefined || more !== undefined || range[0] !== range[1] ? null : range[0],
      );
      if (from === null || from === undefined || to === null || to === undefined || from > to)
        return this.fail('a range without two ends in order');
      sets.push([[from, to]]);
    }
    const set = union(...sets);
    return isNegated ? others(set) : set;
  }

  private member(): Characters {
    const next = this.take();
    return next === '\\' ? this.escape(true) : only(next.codePointAt(0) as number);
  }

  private peek(): string | undefined {
    return this.characters[this.at];
  }

  private take(): string {
    const next = this.characters[this.at];
    if (next === undefined) return this.fail('an end too early');
    this.at += 1;
    return next;
  }

  private eats(character: string): boolean {
    if (this.peek() !== character) return false;
    this.at += 1;
    return true;
  }

  private fail(what: string): never {
    throw new RegexError(`has ${what}`);
  }
}
