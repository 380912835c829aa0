import { type ChatTokenizer } from '@lowrank/datasets';
import { overlap } from '../generation/stops';
import { type Form } from '../generation/generate';
import { type CallFormat } from './call-format';

/** A call in a form of its own. */
type Held = Form & { close(): void };

/** Longest that a call without marks is waited for, as of CallParser. */
const longestHead = 300;

/**
 * Holds the calls of an answer that may say anything besides. A call has begun where a brace follows its mark; where a model writes no marks, where the
 * answer begins with the name of a function and what the arguments are called. From then on tokens are those of its form, until it is
 * whole. What a token had written of it before that, and is of no call, is left to be text.
 */
export class CallGuide implements Form {
  /** Bytes that may begin a call, one a character. */
  private written = '';
  /** Whether none comes any more. */
  private isOver = false;
  private held: Promise<Held | null> = Promise.resolve(null);
  private readonly head: RegExp;
  private readonly mark: string;

  constructor(
    { mark, key }: Pick<CallFormat, 'mark' | 'key'>,
    names: readonly string[],
    private readonly tokenizer: Pick<ChatTokenizer, 'bytesOf'>,
    /** Opens the form of a call of which there is something already; null: no call begins so. */
    private readonly open: (begun: Uint8Array) => Promise<Held | null>,
  ) {
    this.mark = Buffer.from(mark).toString('latin1');
    this.head = new RegExp(`^\\{\\s*"name"\\s*:\\s*"(?:${names.join('|')})"\\s*,\\s*"${key}"`);
  }

  async allowed(): Promise<Uint32Array | undefined> {
    return (await this.held)?.allowed();
  }

  accept(token: number): void {
    const before = this.held;
    this.held = before.then((form) => (form === null ? this.look(token) : this.follow(form, token)));
    // Who asks next is told.
    this.held.catch(() => undefined);
  }

  /** There may always be more. */
  async isWhole(): Promise<boolean> {
    return false;
  }

  close(): void {
    this.held.then((form) => form?.close()).catch(() => undefined);
  }

  private async follow(form: Held, token: number): Promise<Held | null> {
    form.accept(token);
    if (!(await form.isWhole())) return form;
    form.close();
    return null;
  }

  private async look(token: number): Promise<Held | null> {
    const bytes = this.tokenizer.bytesOf(token);
    if (this.isOver || bytes === null) return null;
    this.written += Buffer.from(bytes).toString('latin1');
    const call = this.mark === '' ? this.unmarked() : this.marked();
    if (call === null) return null;
    this.written = '';
    this.isOver = this.mark === '';
    return this.open(Buffer.from(call, 'latin1'));
  }

  /** What there is of a call; null: none has begun. */
  private marked(): string | null {
    const { mark } = this;
    for (;;) {
      const at = this.written.indexOf(mark);
      if (at < 0) {
        this.written = this.written.slice(this.written.length - overlap(this.written, mark));
        return null;
      }
      const after = this.written.slice(at + mark.length).trimStart();
      if (after.startsWith('{')) return after;
      this.written = after === '' ? mark : after;
      if (after === '') return null;
    }
  }

  private unmarked(): string | null {
    const begun = this.written.trimStart();
    if (this.head.test(begun)) return begun;
    this.isOver = begun !== '' && (!begun.startsWith('{') || begun.length > longestHead);
    return null;
  }
}
