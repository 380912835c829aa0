import { overlap } from '../generation/stops';
import { type CallFormat } from './call-format';

/** What an answer says, as it comes: text, that a call begins, and more of its arguments, which are JSON. */
export type Said =
  | { kind: 'text'; text: string }
  | { kind: 'call'; index: number; name: string }
  | { kind: 'arguments'; index: number; text: string };

type Marks = Pick<CallFormat, 'mark' | 'endMark'>;

/** What a call begins with, up to its arguments. */
const head = /^\s*\{\s*"name"\s*:\s*"([a-zA-Z0-9_-]{1,64})"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/;
/** Longest that a call without marks is waited for: what is longer is text. */
const longestHead = 300;

/**
 * Tells calls from text in an answer that comes in pieces. A call stands between marks; where a model writes none, an answer that begins as a call is
 * one. What names no function that there is, or is no JSON, is text.
 */
export class CallParser {
  private buffer = '';
  private state: 'text' | 'head' | 'arguments' | 'tail' = 'text';
  private calls = 0;
  private depth = 0;
  private inString = false;
  private isEscaped = false;
  /** Of an answer without marks: whether it is text, as its beginning is no call. */
  private isPlain = false;

  constructor(
    private readonly marks: Marks,
    private readonly isKnown: (name: string) => boolean,
  ) {}

  /** Calls that have begun. */
  get count(): number {
    return this.calls;
  }

  push(piece: string): Said[] {
    this.buffer += piece;
    const said: Said[] = [];
    while (this.step(said));
    return said;
  }

  /** What was held back, when no more comes. */
  end(): Said[] {
    const rest = this.state === 'head' ? this.marks.mark + this.buffer : this.buffer;
    this.buffer = '';
    if (this.state === 'tail' || (this.calls > 0 && rest.trim() === '')) return [];
    return this.state === 'arguments' ? this.more(rest) : text(rest);
  }

  /** Takes what it can of the buffer; false: it waits for more. */
  private step(said: Said[]): boolean {
    switch (this.state) {
      case 'text':
        return this.marks.mark === '' ? this.unmarked(said) : this.marked(said);
      case 'head':
        return this.begin(said);
      case 'arguments':
        return this.scan(said);
      case 'tail':
        return this.finish();
    }
  }

  private marked(said: Said[]): boolean {
    const { mark } = this.marks;
    const at = this.buffer.indexOf(mark);
    if (at >= 0) {
      said.push(...text(this.buffer.slice(0, at).trimEnd()));
      this.buffer = this.buffer.slice(at + mark.length);
      this.state = 'head';
      return true;
    }
    // White space before a call belongs to it.
    const kept = overlap(this.buffer, mark);
    const shown = this.buffer.slice(0, this.buffer.length - kept).trimEnd();
    said.push(...text(shown));
    this.buffer = this.buffer.slice(shown.length);
    return false;
  }

  private unmarked(said: Said[]): boolean {
    const begins = this.buffer.trimStart();
    if (!this.isPlain && begins === '') return false;
    if (!this.isPlain && begins.startsWith('{')) {
      this.state = 'head';
      return true;
    }
    this.isPlain = true;
    said.push(...text(this.buffer));
    this.buffer = '';
    return false;
  }

  private begin(said: Said[]): boolean {
    const { mark, endMark } = this.marks;
    const [whole, name = ''] = head.exec(this.buffer) ?? [];
    if (whole !== undefined && this.isKnown(name)) {
      said.push({ kind: 'call', index: this.calls, name });
      this.calls += 1;
      this.buffer = this.buffer.slice(whole.length);
      this.state = 'arguments';
      return true;
    }
    const end = endMark === '' ? -1 : this.buffer.indexOf(endMark);
    const isLost = whole !== undefined || end >= 0 || this.buffer.length > longestHead;
    if (!isLost) return false;
    const until = end >= 0 ? end + endMark.length : (whole?.length ?? this.buffer.length);
    said.push(...text(mark + this.buffer.slice(0, until)));
    this.buffer = this.buffer.slice(until);
    this.isPlain = true;
    this.state = 'text';
    return this.buffer !== '';
  }

  /** The arguments end with the brace that closes the first. */
  private scan(said: Said[]): boolean {
    for (let at = 0; at < this.buffer.length; at += 1) {
      const character = this.buffer[at] as string;
      if (this.isEscaped) this.isEscaped = false;
      else if (this.inString) {
        if (character === '\\') this.isEscaped = true;
        else if (character === '"') this.inString = false;
      } else if (character === '"') this.inString = true;
      else if ('{['.includes(character)) this.depth += 1;
      else if ('}]'.includes(character)) this.depth -= 1;
      if (this.depth > 0) continue;
      said.push(...this.more(this.buffer.slice(0, at + 1)));
      this.buffer = this.buffer.slice(at + 1);
      this.state = 'tail';
      return true;
    }
    said.push(...this.more(this.buffer));
    this.buffer = '';
    return false;
  }

  /** Whatever stands between the arguments and the end of the call. */
  private finish(): boolean {
    const { endMark } = this.marks;
    if (endMark === '') {
      this.buffer = '';
      return false;
    }
    const at = this.buffer.indexOf(endMark);
    if (at < 0) return false;
    this.buffer = this.buffer.slice(at + endMark.length);
    this.state = 'text';
    return true;
  }

  private more(of: string): Said[] {
    return of === '' ? [] : [{ kind: 'arguments', index: this.calls - 1, text: of }];
  }
}

const text = (of: string): Said[] => (of === '' ? [] : [{ kind: 'text', text: of }]);
