import { afterTail, isDigit, isE, isHex, tailOf } from './bytes';
import { canBecome, isWithin, mostWhole } from './decimal';
import {
  type DecimalNode,
  type NumberNode,
  type PatternNode,
  type PatternState,
  type StringNode,
} from './node';

/* Strings and numbers of a form, byte by byte. */

/** Digits of a number's whole part and fraction, so that it stays finite and ends. */
const mostDigits = 15;

/** Where a value stands; of the node's kind. */
export interface Scalar {
  readonly phase: number;
  /** Characters, a number's whole part so far, or a state of a pattern. */
  readonly count: number;
  /** How a character's next byte is limited, or a fraction so far. */
  readonly sub: number;
}
/** What a byte does: leads on to other states, to the value's end, or to both. */
export interface Ways {
  to(state: Partial<Scalar>): void;
  end(): void;
}
export type ScalarNode = StringNode | PatternNode | NumberNode | DecimalNode;

export enum Text {
  Open,
  Body,
  Tail,
  Escape,
  Hex1,
  Surrogate,
  Hex2,
  Hex3,
  Hex4,
}
enum Digits {
  Start,
  Minus,
  Zero,
  Whole,
  Dot,
  Fraction,
  E,
  Sign,
  Exponent,
}

const char = (text: string): number => text.charCodeAt(0);
const [quote, backslash, minus, zero, dot] = [...'"\\-0.'].map(char) as [
  number,
  number,
  number,
  number,
  number,
];
const escapes = new Set([...'"\\/bfnrt'].map(char));
/** Characters that JSON writes by a short escape, by its letter. */
const escaped = new Map(
  Object.entries({ '"': '"', '\\': '\\', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }).map(
    ([letter, character]) => [char(letter), char(character)],
  ),
);

/** Takes a byte of a value that is at `at`; where it fits nowhere, nothing is called. */
export function stepScalar(node: ScalarNode, at: Scalar, byte: number, ways: Ways): void {
  switch (node.kind) {
    case 'string':
      return stepString(node, at, byte, ways);
    case 'pattern':
      return stepPattern(node, at, byte, ways);
    case 'number':
      return stepNumber(at, byte, ways);
    case 'decimal':
      return stepDecimal(node, at, byte, ways);
  }
}

function stepString({ min, max }: StringNode, { phase, count, sub }: Scalar, byte: number, ways: Ways): void {
  const to = (next: Text, rest: Partial<Scalar> = {}) => ways.to({ phase: next, sub: 0, ...rest });
  const more = () => to(Text.Body, { count: max === Infinity ? Math.min(count + 1, min) : count + 1 });
  switch (phase) {
    case Text.Open:
      if (byte === quote) to(Text.Body);
      return;
    case Text.Body:
      if (byte === quote) {
        if (count >= min) ways.end();
      } else if (count < max) {
        if (byte === backslash) to(Text.Escape);
        else if (byte >= 0x20 && byte < 0x80) more();
        else if (tailOf(byte) !== 0) to(Text.Tail, { sub: tailOf(byte) });
      }
      return;
    case Text.Tail: {
      const left = afterTail(sub, byte);
      if (left === 0) more();
      else if (left !== null) to(Text.Tail, { sub: left });
      return;
    }
    case Text.Escape:
      if (escapes.has(byte)) more();
      else if (byte === char('u')) to(Text.Hex1);
      return;
    // Halves of characters (U+D800 … U+DFFF) are none by themselves: a character beyond U+FFFF is written as it is.
    case Text.Hex1:
      if (isHex(byte)) to((byte | 0x20) === char('d') ? Text.Surrogate : Text.Hex2);
      return;
    case Text.Surrogate:
      if (byte >= zero && byte <= char('7')) to(Text.Hex3);
      return;
    case Text.Hex2:
      if (isHex(byte)) to(Text.Hex3);
      return;
    case Text.Hex3:
      if (isHex(byte)) to(Text.Hex4);
      return;
    default:
      if (isHex(byte)) more();
  }
}

/** Bits of a character that its first byte of several says (RFC 3629), by how many come after it. */
const leadBits = [0x7f, 0x1f, 0x0f, 0x07];

/** The least character that is written in so many bytes after the first: what is below is written in fewer. */
const leastOf = [0, 0x80, 0x800, 0x10000];

/**
 * `count`: the state of the automaton. Between the bytes of a character `sub` has how many follow its first, how many are still to come, and the
 * character so far; it goes on as long as some character that the state takes begins so. Quotes, backslashes and control characters are
 * written by their short escapes.
 */
function stepPattern({ states }: PatternNode, { phase, count, sub }: Scalar, byte: number, ways: Ways): void {
  const { accepts, edges } = states[count] as PatternState;
  const takes = (low: number, high: number) => edges.find((edge) => edge.low <= high && edge.high >= low);
  const become = (character: number | undefined) => {
    const edge = character === undefined ? undefined : takes(character, character);
    if (edge !== undefined) ways.to({ phase: Text.Body, count: edge.to, sub: 0 });
  };
  const begin = (following: number, left: number, so: number) => {
    const low = Math.max(so << (6 * left), leastOf[following] as number);
    const high = ((so + 1) << (6 * left)) - 1;
    if (low > high || takes(low, high) === undefined) return;
    if (left === 0) become(so);
    else ways.to({ phase: Text.Tail, sub: (following << 27) | (left << 24) | so });
  };
  if (phase === Text.Open) {
    if (byte === quote) ways.to({ phase: Text.Body });
  } else if (phase === Text.Body) {
    if (byte === quote && accepts) ways.end();
    else if (byte === backslash) {
      if ([...escaped.values()].some((character) => takes(character, character)))
        ways.to({ phase: Text.Escape });
    } else if (byte >= 0x20 && byte < 0x80 && byte !== quote) become(byte);
    else if (tailOf(byte) !== 0) {
      const left = tailOf(byte) >> 16;
      begin(left, left, byte & (leadBits[left] as number));
    }
  } else if (phase === Text.Escape) become(escaped.get(byte));
  else if (byte >= 0x80 && byte <= 0xbf)
    begin(sub >> 27, ((sub >> 24) & 7) - 1, ((sub & 0xffffff) << 6) | (byte & 0x3f));
}

function stepNumber({ phase, count }: Scalar, byte: number, ways: Ways): void {
  const to = (next: Digits, digits = 0, whole = true) => {
    ways.to({ phase: next, count: digits });
    if (whole) ways.end();
  };
  const begin = () => to(byte === zero ? Digits.Zero : Digits.Whole, 1);
  switch (phase) {
    case Digits.Start:
      if (byte === minus) to(Digits.Minus, 0, false);
      else if (isDigit(byte)) begin();
      return;
    case Digits.Minus:
      if (isDigit(byte)) begin();
      return;
    case Digits.Zero:
    case Digits.Whole:
      if (isDigit(byte) && phase === Digits.Whole && count < mostDigits) to(Digits.Whole, count + 1);
      if (byte === dot) to(Digits.Dot, 0, false);
      if (isE(byte)) to(Digits.E, 0, false);
      return;
    case Digits.Dot:
    case Digits.Fraction:
      if (isDigit(byte) && count < mostDigits) to(Digits.Fraction, count + 1);
      if (isE(byte) && phase === Digits.Fraction) to(Digits.E, 0, false);
      return;
    case Digits.E:
      if (byte === minus || byte === char('+')) to(Digits.Sign, 0, false);
      else if (isDigit(byte)) to(Digits.Exponent, 1);
      return;
    default:
      if (isDigit(byte) && count < 2) to(Digits.Exponent, count + 1);
  }
}

/** A number between limits, without an exponent. `count`: its whole part, below 0 where it is negative; `sub`: how decimal.ts has the rest. */
function stepDecimal(node: DecimalNode, { phase, count, sub }: Scalar, byte: number, ways: Ways): void {
  const negative = sub % 2 === 1;
  const digits = Math.floor(sub / 2) % 16;
  const fraction = Math.floor(sub / 32);
  const go = (next: Digits, whole: number, places: number, rest: number) => {
    const value = { negative, whole, digits: places, fraction: rest, open: next === Digits.Whole };
    if (!canBecome(node, value)) return;
    ways.to({ phase: next, count: whole, sub: rest * 32 + places * 2 + Number(negative) });
    if (next !== Digits.Dot && isWithin(node, value)) ways.end();
  };
  if (phase === Digits.Start && byte === minus) {
    if (node.low < 0n) ways.to({ phase: Digits.Minus, sub: 1 });
  } else if (isDigit(byte)) {
    const digit = byte - zero;
    if (phase === Digits.Start || phase === Digits.Minus)
      go(digit === 0 ? Digits.Zero : Digits.Whole, digit, 0, 0);
    else if (phase === Digits.Whole) {
      if (count < mostWhole / 10) go(Digits.Whole, count * 10 + digit, 0, 0);
    } else if ((phase === Digits.Dot || phase === Digits.Fraction) && digits < node.places)
      go(Digits.Fraction, count, digits + 1, fraction * 10 + digit);
  } else if (byte === dot && node.places > 0 && (phase === Digits.Zero || phase === Digits.Whole))
    go(Digits.Dot, count, 0, 0);
}
