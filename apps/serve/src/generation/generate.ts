import { type FinishReason, LowrankError } from '@lowrank/contracts';
import { type Draw, type Sampling } from '@lowrank/kernels';
import { type Model } from '../models/models';
import { type Guide } from './batch';
import { type Meter } from './meter';
import { StopFilter } from './stops';

export interface GenerateOptions {
  prompt: Int32Array;
  sampling: Sampling;
  /** null: the rest of the model's context. */
  maxTokens: number | null;
  /** Strings before which the answer ends. */
  stop: readonly string[];
  /** How many of the likeliest tokens come with each token, and its log-probability. Left out: none of these. */
  logprobs?: number;
  /** Holds the answer to a form, and says when it is whole. */
  form?: Form;
  meter?: Meter;
  /** Ends the work, with its reason as the error. */
  signal: AbortSignal;
}

/** A model for those whose prompts may share pages of the cache: a team, so that nobody learns what others have asked. */
export type Scoped<Field extends keyof Model = keyof Model> = Pick<Model, Field> & { scope: string };

export interface Form extends Guide {
  /** Whether nothing can follow what was accepted. */
  isWhole(): Promise<boolean>;
}

/** More of an answer: its text, and the tokens that it is of. A token whose text is not complete yet comes with the next. */
export interface Piece {
  text: string;
  draws: Draw[];
  /** Of each token, characters of the answer before it. */
  offsets: number[];
}

export interface Generated {
  /** Without the token that ended the answer. */
  tokens: number;
  /** Tokens of the prompt that were in the cache already. */
  cachedTokens: number;
  /** The prompt and what was generated, with the token that ended the answer. */
  text: Int32Array;
  reason: FinishReason;
}

/** Puts the tokens to the text that may be shown. */
class Pieces {
  private draws: Draw[] = [];
  private offsets: number[] = [];
  private readonly filter: StopFilter;
  private read = 0;
  private shown = 0;

  constructor(stop: readonly string[]) {
    this.filter = new StopFilter(stop);
  }

  get stopped(): boolean {
    return this.filter.stopped;
  }

  push(draw: Draw, text: string): Piece | null {
    this.draws.push(draw);
    this.offsets.push(this.read);
    return this.show(text, false);
  }

  end(text: string): Piece | null {
    return this.show(text, true);
  }

  private show(come: string, final: boolean): Piece | null {
    this.read += characters(come);
    const text = this.filter.push(come) + (final ? this.filter.end() : '');
    this.shown += characters(text);
    if (text === '' && !final && !this.stopped) return null;
    // Tokens of text that is held back wait with it; those of a stop string are not shown at all.
    const shown = this.offsets.filter((offset) => offset < this.shown).length;
    const count = final && !this.stopped ? this.draws.length : shown;
    if (text === '' && count === 0) return null;
    return { text, draws: this.draws.splice(0, count), offsets: this.offsets.splice(0, count) };
  }
}

const characters = (text: string): number => Array.from(text).length;

/**
 * Yields an answer as it comes and returns how it ended.
 * Errors: validation_failed for an empty prompt, context_exceeded when it leaves no room, KernelError, the signal's reason.
 */
export async function* generate(
  { batch, tokenizer, adapter, scope }: Scoped<'batch' | 'tokenizer' | 'adapter'>,
  { prompt, sampling, maxTokens, stop, logprobs, form, meter, signal }: GenerateOptions,
): AsyncGenerator<Piece, Generated> {
  if (prompt.length === 0) throw new LowrankError('validation_failed', 'The prompt has no tokens.');
  const room = batch.longest - prompt.length;
  if (room < 1)
    throw new LowrankError(
      'context_exceeded',
      `The prompt has ${prompt.length} tokens; there is room for ${batch.longest} with the answer.`,
    );
  const limit = Math.min(maxTokens ?? room, room);
  const text = tokenizer.stream();
  const pieces = new Pieces(stop);
  let tokens = 0;
  const drawn: number[] = [];
  let cachedTokens = 0;
  const onReuse = (reused: number) => {
    cachedTokens = reused;
    meter?.reused(reused);
  };
  const asked = { adapter, prompt, maxTokens: limit, sampling, logprobs, guide: form, signal };
  let reason: FinishReason = 'length';
  for await (const draw of batch.generate({ ...asked, scope, onReuse })) {
    const ends = tokenizer.stopIds.has(draw.token);
    drawn.push(draw.token);
    meter?.drew(prompt.length, !ends);
    if (ends) {
      reason = 'stop';
      break;
    }
    tokens += 1;
    const piece = pieces.push(draw, text.push(draw.token));
    if (piece !== null) yield piece;
    if (pieces.stopped || (await form?.isWhole()) === true) {
      reason = 'stop';
      break;
    }
  }
  const last = pieces.stopped ? null : pieces.end(text.end());
  if (last !== null) yield last;
  const whole = Int32Array.from([...prompt, ...drawn]);
  return { tokens, cachedTokens, text: whole, reason: pieces.stopped ? 'stop' : reason };
}
