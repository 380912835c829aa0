import { LowrankError } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { type Sampling } from '@lowrank/kernels';
import { randomBytes } from 'node:crypto';
import { type Choice, type Completion } from '../http/answers';
import { generate, type GenerateOptions, type Generated, type Piece, type Scoped } from './generate';
import { callFormOf, renderChat } from '../tools/tools';
import { Logprobs } from './logprobs';

// What a request asks for, in the words of generation.

/** How many answers are asked for. */
export const choiceCount = ({ body }: Completion): number => body.n ?? 1;

/** What an answer begins with. */
export const echoOf = ({ kind, body }: Completion): string =>
  kind === 'text' && body.echo === true ? body.prompt : '';

/** An answer, held to the form that the request asks for. */
export async function* formed(
  model: Scoped,
  completion: Completion,
  { index, ...rest }: { index: number } & Pick<GenerateOptions, 'prompt' | 'signal' | 'meter'>,
): AsyncGenerator<Piece, Generated> {
  const options = { ...optionsOf(completion, model.tokenizer, index), ...rest };
  const schema = schemaOf(completion);
  const form =
    schema === null
      ? await callFormOf(completion, model)
      : await model.forms.open(schema, 'response_format.json_schema.schema');
  if (form === null) return yield* generate(model, options);
  try {
    return yield* generate(model, { ...options, form });
  } finally {
    form.close();
  }
}

/** The JSON schema that an answer is to be of; null: it is text. */
function schemaOf({ kind, body }: Completion): Record<string, unknown> | null {
  const format = kind === 'chat' ? body.response_format : null;
  if (format === null || format.type === 'text') return null;
  return format.type === 'json_object'
    ? { type: 'object' }
    : (format.json_schema.schema ?? { type: 'object' });
}

/** How many of the likeliest tokens are told of with each; undefined: there are to be no log-probabilities. */
function logprobCount({ kind, body }: Completion): number | undefined {
  if (kind === 'text') return body.logprobs ?? undefined;
  return body.logprobs === true ? (body.top_logprobs ?? 0) : undefined;
}

export function logprobsOf(
  completion: Completion,
  tokenizer: ChatTokenizer,
  { draws, offsets }: Piece,
): Choice['logprobs'] {
  if (logprobCount(completion) === undefined) return null;
  const logprobs = new Logprobs(tokenizer);
  if (completion.kind === 'chat') return logprobs.chat(draws);
  const before = Array.from(completion.body.prompt).length;
  return logprobs.text(
    draws,
    offsets.map((offset) => before + offset),
  );
}

export function promptOf({ kind, body }: Completion, tokenizer: ChatTokenizer): Int32Array {
  if (kind === 'chat') return Int32Array.from(tokenizer.encode(renderChat(body, tokenizer)));
  const tokens = tokenizer.encode(body.prompt);
  const { bosId } = tokenizer;
  // A template writes the beginning of a text itself; plain text has none.
  return Int32Array.from(bosId === null || tokens[0] === bosId ? tokens : [bosId, ...tokens]);
}

function optionsOf(
  completion: Completion,
  { vocabSize }: ChatTokenizer,
  index: number,
): Omit<GenerateOptions, 'prompt' | 'signal'> {
  const { kind, body } = completion;
  const maxTokens = kind === 'chat' ? (body.max_completion_tokens ?? body.max_tokens) : body.max_tokens;
  const sampling: Sampling = {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? 1,
    topK: body.top_k ?? 0,
    seed: seedOf(body.seed, index),
    minP: body.min_p ?? 0,
    presencePenalty: body.presence_penalty ?? 0,
    frequencyPenalty: body.frequency_penalty ?? 0,
    repetitionPenalty: body.repetition_penalty ?? 1,
    ...(body.logit_bias === null ? {} : { bias: biasOf(body.logit_bias, vocabSize) }),
  };
  return { sampling, maxTokens, stop: body.stop, logprobs: logprobCount(completion) };
}

function biasOf(biases: Record<string, number>, vocabSize: number) {
  const unknown = Object.keys(biases).find((token) => Number(token) >= vocabSize);
  if (unknown !== undefined)
    throw new LowrankError('validation_failed', `The model has no token ${unknown}.`, [
      { path: `logit_bias.${unknown}`, message: `must be below ${vocabSize}` },
    ]);
  return {
    tokens: Int32Array.from(Object.keys(biases), Number),
    values: Float32Array.from(Object.values(biases)),
  };
}

/** Every choice has draws of its own. */
const seedOf = (seed: number | null, index: number): bigint =>
  seed === null
    ? randomBytes(8).readBigUInt64LE()
    : BigInt.asUintN(64, BigInt(seed) + (BigInt(index) << 32n));
