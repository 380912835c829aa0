import {
  type Adapter,
  type Base,
  type Cache,
  type CachedSequence,
  type Draw,
  type Sampling,
} from '@lowrank/kernels';
import { pageNames, Pages } from './pages';

/** Small pages waste little: a sequence has half of one to spare on average. */
const pageTokens = 16;
/** Tokens of prompts that go through the model between two steps of decoding: those who are being answered wait that long. */
const prefillTokens = 512;
/** Of a text that is read again, so that whoever comes meanwhile waits for little. */
const rereadPages = 4;

/** What was read again in time that nobody waited for, and what of it prompts have found. */
export interface RereadCounts {
  tokens: number;
  reused: number;
}
/** A prompt with its answer. */
export type Text = Pick<SequenceRequest, 'adapter' | 'scope'> & { tokens: Int32Array };

export interface SequenceRequest {
  adapter: Adapter | null;
  prompt: Int32Array;
  /** Of tokens that are generated, at most. */
  maxTokens: number;
  sampling: Sampling;
  /** How many of the likeliest tokens come with each token, and its log-probability. Left out: none of these. */
  logprobs?: number;
  /** Says which tokens may come next. */
  guide?: Guide;
  signal: AbortSignal;
  /** Whose prompts this one may share pages with. */
  scope: string;
  /** Called when the prompt's beginning was found in the cache, with its tokens, before the first token is yielded. */
  onReuse?: (tokens: number) => void;
}

/** What a sequence is held to. */
export interface Guide {
  /** Tokens that may come next, as `Sampling.allowed`; undefined: all. */
  allowed(): Promise<Uint32Array | undefined>;
  /** Is told of each token that was drawn, before the next call. */
  accept(token: number): void;
}

interface Sequence extends SequenceRequest {
  /** Prompt and what was generated: [length] of it are known, [cached] of those are in the cache. */
  tokens: Int32Array;
  length: number;
  cached: number;
  pages: number[];
  /** Whether some of its pages are its own: it takes no more of what others have computed. */
  begun: boolean;
  /** Of the prompt's whole pages. */
  names: string[];
  deliver(draw: Draw): void;
  fail(error: unknown): void;
}

type Kind = 'prefill' | 'decode';
/** A sequence, and up to where the next step takes it. */
interface Chosen {
  sequence: Sequence;
  end: number;
}

/** Pages of a prompt that may be another's: its last token is computed, for the logits after it. */
const sharedPages = (prompt: Int32Array): number => Math.floor((prompt.length - 1) / pageTokens);
const isShared = ({ pages, prompt }: Sequence): boolean => pages.length < sharedPages(prompt);
const pagesFor = (tokens: number): number => Math.ceil(tokens / pageTokens);

/** What tells adapters apart in the names of pages. */
const adapterNumbers = new WeakMap<Adapter, number>();
let lastAdapter = 0;
function numberOf(adapter: Adapter | null): number {
  if (adapter === null) return 0;
  const number = adapterNumbers.get(adapter) ?? (lastAdapter += 1);
  adapterNumbers.set(adapter, number);
  return number;
}

/**
 * Generates for many sequences of one base at a time, each with its own adapter. Every round takes some tokens of prompts that are not in the
 * cache yet, and then one token of each sequence that is being answered, all in one step of the model. The kernels give a sequence the
 * same bytes whatever else is in the batch, so each gets what it would alone.
 *
 * Where the cache is full, the sequence that began last gives its pages and comes again when there are some: what it had generated is
 * taken through the model again, token by token as before, and so to the same bytes.
 *
 * Whole pages of prompts stay in the cache while there is room. A prompt of the same scope and adapter that begins with the same tokens
 * takes them as they are: a token of a prompt gets the same bytes wherever the prompt is split. Of prompts that come together the first computes what they
 * begin with, and the others wait for it. Pages of answers are not shared, since decoding
 * rounds in another order than prefill does; `reread` takes an answer through the model as a prompt is, for the next turn of its conversation.
 */
export class Batch {
  private readonly cache: Cache;
  private readonly pages: Pages;
  /** Those whose answers are not whole yet, in the order in which they came. */
  private sequences: Sequence[] = [];
  private running: Promise<void> | null = null;
  private stepping: Promise<unknown> = Promise.resolve();

  /** `cacheTokens`: of all sequences together. */
  constructor(
    base: Base,
    cacheTokens: number,
    private readonly counts: RereadCounts = { tokens: 0, reused: 0 },
  ) {
    const pages = pagesFor(Math.max(cacheTokens, pageTokens));
    this.cache = base.openCache({ pageTokens, pages });
    this.pages = new Pages(pages);
    this.longest = Math.min(base.info.maxPositions, pages * pageTokens);
  }

  /** Tokens that a sequence can have. */
  readonly longest: number;

  /**
   * Yields tokens as they are drawn, until `maxTokens` or until the reader leaves. Prompt and answer have room in `longest`.
   * Errors: KernelError, the signal's reason.
   */
  async *generate(request: SequenceRequest): AsyncGenerator<Draw, void> {
    const ready: Draw[] = [];
    let failure: { error: unknown } | null = null;
    let wake: (() => void) | null = null;
    const sequence: Sequence = {
      ...request,
      tokens: new Int32Array(request.prompt.length + request.maxTokens),
      ...{ length: request.prompt.length, cached: 0, pages: [], begun: false },
      names: pageNames(`${numberOf(request.adapter)} ${request.scope}`, request.prompt, pageTokens),
      deliver: (draw) => {
        ready.push(draw);
        wake?.();
      },
      fail: (error) => {
        failure ??= { error };
        wake?.();
      },
    };
    sequence.tokens.set(request.prompt);
    const onAbort = () => sequence.fail(request.signal.reason);
    request.signal.addEventListener('abort', onAbort, { once: true });
    try {
      request.signal.throwIfAborted();
      this.sequences.push(sequence);
      this.running ??= this.run();
      for (let told = 0; told < request.maxTokens; told += 1) {
        while (ready.length === 0) {
          if (failure !== null) throw (failure as { error: unknown }).error;
          await new Promise<void>((resolve) => (wake = resolve));
        }
        yield ready.shift() as Draw;
      }
    } finally {
      request.signal.removeEventListener('abort', onAbort);
      this.remove(sequence);
      // Whoever comes next may free what a step that has begun still works with.
      await this.stepping;
      this.release(sequence);
    }
  }

  /**
   * Takes the next pages of a text that are not in the cache into it, as those of a prompt; while sequences are generated it does nothing. Resolves to whether there
   * is more to do: not where all is there, or no room. Error: KernelError.
   */
  async reread({ adapter, scope, tokens }: Text): Promise<boolean> {
    if (this.running !== null) return true;
    const names = pageNames(`${numberOf(adapter)} ${scope}`, tokens, pageTokens);
    const known = this.pages.share(names);
    const count = Math.min(rereadPages, names.length - known.length);
    const own = count === 0 ? null : this.pages.take(count);
    if (own === null) {
      this.pages.give(known);
      return false;
    }
    const pages = [...known, ...own];
    const past = known.length * pageTokens;
    const end = pages.length * pageTokens;
    const step = this.cache.run('prefill', [
      {
        ...{ tokens: tokens.slice(past, end), past, pages: Int32Array.from(pages) },
        ...{ adapter, wanted: false },
      },
    ]);
    // Who comes meanwhile waits for this as for a round.
    const free = step.then(
      () => undefined,
      () => undefined,
    );
    this.stepping = free;
    this.running = free.then(() => {
      this.running = this.sequences.length > 0 ? this.run() : null;
    });
    try {
      await step;
      own.forEach((page, i) => this.pages.name(page, names[known.length + i] as string, true));
      this.counts.tokens += end - past;
    } finally {
      this.pages.give(pages);
    }
    return pages.length < names.length;
  }

  /** Pages of the cache that sequences have, and those that none has. */
  get load(): { used: number; free: number } {
    return { used: this.cache.pages - this.pages.left, free: this.pages.left };
  }

  /** When nobody reads any more. */
  close(): void {
    this.cache.close();
  }

  private async run(): Promise<void> {
    try {
      while (this.sequences.length > 0) {
        await this.prefill();
        await this.decode();
        // Readers take what was drawn, and leave, before the next round.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.running = null;
    }
  }

  /** Takes tokens of prompts into the cache, the oldest sequence first. */
  private async prefill(): Promise<void> {
    let left = prefillTokens;
    const chosen: Chosen[] = [];
    const coming = new Set<string>();
    for (const sequence of this.sequences) {
      if (left > 0) this.reuse(sequence);
      const { cached, prompt, names } = sequence;
      const end = Math.min(prompt.length, cached + left);
      if (cached >= prompt.length || left === 0) continue;
      // One that begins like another waits for what that one computes now.
      const missing = names[sequence.pages.length];
      if (!sequence.begun && missing !== undefined && coming.has(missing) && isShared(sequence)) continue;
      if (!this.hold(sequence, end)) continue;
      sequence.begun = true;
      names
        .slice(Math.floor(cached / pageTokens), Math.floor(end / pageTokens))
        .forEach((name) => coming.add(name));
      chosen.push({ sequence, end });
      left -= end - cached;
    }
    await this.step('prefill', chosen);
  }

  /** Takes one token further all whose prompts are in the cache. */
  private async decode(): Promise<void> {
    const chosen: Chosen[] = [];
    for (const sequence of this.sequences) {
      const { cached, prompt } = sequence;
      if (cached < prompt.length || !this.hold(sequence, cached + 1)) continue;
      chosen.push({ sequence, end: cached + 1 });
    }
    await this.step('decode', chosen);
  }

  /** What goes wrong with one of the sequences is found out by doing them one by one, and only that one fails. */
  private async step(kind: Kind, chosen: readonly Chosen[]): Promise<void> {
    if (chosen.length === 0) return;
    const step = this.take(kind, chosen);
    this.stepping = step.catch(() => undefined);
    try {
      await step;
    } catch (error) {
      const [{ sequence }] = chosen as [Chosen];
      if (chosen.length > 1) {
        for (const one of chosen) if (this.sequences.includes(one.sequence)) await this.step(kind, [one]);
      } else {
        this.remove(sequence);
        sequence.fail(error);
      }
    }
  }

  private async take(kind: Kind, chosen: readonly Chosen[]): Promise<void> {
    const drawn = chosen.filter(({ sequence, end }) => end === sequence.length);
    // Computed elsewhere, while the model takes its step.
    const allowed = Promise.all(drawn.map(({ sequence }) => sequence.guide?.allowed()));
    allowed.catch(() => undefined);
    const logits = await this.cache.run(
      kind,
      chosen.map(({ sequence, end }): CachedSequence => {
        const { tokens, cached, pages, adapter } = sequence;
        return {
          tokens: tokens.slice(cached, end),
          ...{ past: cached, pages: Int32Array.from(pages), adapter, wanted: end === sequence.length },
        };
      }),
    );
    const draws = await this.draw(
      logits,
      drawn.map(({ sequence }) => sequence),
      await allowed,
    );
    for (const { sequence, end } of chosen) {
      sequence.cached = end;
      if (kind === 'prefill')
        sequence.names
          .slice(0, Math.floor(end / pageTokens))
          .forEach((name, i) => this.pages.name(sequence.pages[i] as number, name));
    }
    drawn.forEach(({ sequence }, i) => {
      const draw = draws[i] as Draw;
      sequence.guide?.accept(draw.token);
      // The last token that is wanted needs no place in the cache.
      sequence.tokens[sequence.length] = draw.token;
      sequence.length += 1;
      sequence.deliver(draw);
      if (sequence.length < sequence.tokens.length) return;
      // Its reader may be slow; whoever waits for room is not to wait for that.
      this.remove(sequence);
      this.release(sequence);
    });
  }

  /** One token for each row of logits [sequences × vocab]. */
  private async draw(
    logits: Float32Array,
    sequences: readonly Sequence[],
    allowed: readonly (Uint32Array | undefined)[],
  ): Promise<Draw[]> {
    if (sequences.length === 0) return [];
    const samplings = sequences.map((sequence, i) => samplingOf(sequence, allowed[i]));
    const wanted = sequences.flatMap(({ logprobs }) => (logprobs === undefined ? [] : [logprobs]));
    const draws = await this.cache.sample(
      logits,
      samplings,
      wanted.length === 0 ? {} : { logprobs: Math.max(...wanted) },
    );
    return draws.map(({ token, logprob, top }, i) => {
      const { logprobs } = sequences[i] as Sequence;
      return logprobs === undefined ? { token } : { token, logprob, top: top?.slice(0, logprobs) };
    });
  }

  /** Takes what is in the cache of the beginning of a prompt that has nothing of its own there. */
  private reuse(sequence: Sequence): void {
    if (sequence.begun) return;
    const { names, prompt, length } = sequence;
    this.pages.give(sequence.pages);
    sequence.pages = this.pages.share(names.slice(0, sharedPages(prompt)));
    sequence.cached = sequence.pages.length * pageTokens;
    // One that comes again has been told of already.
    if (sequence.cached === 0 || length > prompt.length) return;
    sequence.onReuse?.(sequence.cached);
    this.counts.reused += pageTokens * this.pages.countAgain(sequence.pages);
  }

  /** Gives a sequence the pages for so many tokens; where there are none, those of the sequences that came after it. */
  private hold(sequence: Sequence, tokens: number): boolean {
    const missing = pagesFor(tokens) - sequence.pages.length;
    if (missing <= 0) return true;
    for (const other of this.sequences.toReversed()) {
      if (this.pages.left >= missing || other === sequence) break;
      this.release(other);
    }
    const pages = this.pages.take(missing);
    if (pages !== null) sequence.pages.push(...pages);
    return pages !== null;
  }

  private remove(sequence: Sequence): void {
    this.sequences = this.sequences.filter((other) => other !== sequence);
  }

  private release(sequence: Sequence): void {
    this.pages.give(sequence.pages);
    sequence.pages = [];
    sequence.cached = 0;
    sequence.begun = false;
  }
}

function samplingOf(
  { sampling, tokens, length, prompt }: Sequence,
  allowed: Uint32Array | undefined,
): Sampling {
  const penalized =
    (sampling.repetitionPenalty ?? 1) !== 1 ||
    (sampling.presencePenalty ?? 0) !== 0 ||
    (sampling.frequencyPenalty ?? 0) !== 0;
  return {
    ...sampling,
    position: length,
    ...(allowed ? { allowed } : {}),
    ...(penalized ? { history: { tokens: tokens.slice(0, length), prompt: prompt.length } } : {}),
  };
}
