import { type Tokens } from '@lowrank/contracts';

/** What is told of one request as it goes on. */
export interface MeterEvents {
  /** Its turn came, so many seconds after it did. */
  waited(seconds: number): void;
  /** Its first token was drawn, so many seconds after it came. */
  begun(seconds: number): void;
  /** Another token, so many seconds after the one before. */
  went(seconds: number): void;
}

/** Counts what one request takes, whatever becomes of it. */
export class Meter {
  readonly tokens: Tokens = { prompt: 0, cached: 0, completion: 0 };
  private readonly came = performance.now();
  private last: number | null = null;

  constructor(private readonly events: MeterEvents) {}

  turnCame(): void {
    this.events.waited((performance.now() - this.came) / 1000);
  }

  /** The cache had so many tokens of the prompt; as the prompt is, they are counted with the first of its answers. */
  reused(tokens: number): void {
    if (this.last === null) this.tokens.cached = tokens;
  }

  /** A token was drawn; `counts`: it is a part of the answer. The prompt is counted with the first of its answers. */
  drew(prompt: number, counts: boolean): void {
    const now = performance.now();
    if (this.last === null) this.events.begun((now - this.came) / 1000);
    else this.events.went((now - this.last) / 1000);
    this.last = now;
    this.tokens.prompt = prompt;
    if (counts) this.tokens.completion += 1;
  }
}
