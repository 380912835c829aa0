import { LowrankError, type ServeRequest, type ServeTarget } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { type Sampling } from '@lowrank/kernels';
import { randomBytes } from 'node:crypto';
import { answerOf, type Choice, Chunks, type Completion, headOf, usageOf } from '../http/answers';
import { type Models } from '../models/models';
import { generate, type Generated, type Piece, type Scoped } from './generate';
import { Logprobs } from './logprobs';
import { type Turns } from './turns';

/** Answers requests: a turn, the model, the prompt, and the text as OpenAI's clients want it. */
export class Service {
  constructor(
    private readonly models: Models,
    private readonly turns: Turns,
  ) {}

  /** Errors: those of Turns, Models and generate. */
  async answer({ teamId, target, completion }: ServeRequest, signal: AbortSignal) {
    return this.withModel(teamId, target, signal, async (model) => {
      const prompt = promptOf(completion, model.tokenizer);
      const choices: Choice[] = [];
      let completionTokens = 0;
      let cachedTokens = 0;
      for (let index = 0; index < choiceCount(completion); index += 1) {
        const generation = formed(model, completion, prompt, index, signal);
        const whole: Piece = { text: echoOf(completion), draws: [], offsets: [] };
        let step = await generation.next();
        for (; !step.done; step = await generation.next()) {
          whole.text += step.value.text;
          whole.draws.push(...step.value.draws);
          whole.offsets.push(...step.value.offsets);
        }
        completionTokens += step.value.tokens;
        if (index === 0) cachedTokens = step.value.cachedTokens;
        choices.push({
          text: whole.text,
          logprobs: logprobsOf(completion, model.tokenizer, whole),
          reason: step.value.reason,
        });
      }
      return answerOf(
        completion.kind,
        headOf(completion),
        choices,
        usageOf(prompt.length, completionTokens, cachedTokens),
      );
    });
  }

  /**
   * The same as server-sent events. `begin` is called before the first, once nothing but the generation itself can fail; what fails
   * before that is thrown.
   */
  async stream(
    { teamId, target, completion }: ServeRequest,
    signal: AbortSignal,
    begin: () => (event: string) => Promise<void>,
  ): Promise<void> {
    await this.withModel(teamId, target, signal, async (model) => {
      const prompt = promptOf(completion, model.tokenizer);
      const chunks = new Chunks(completion.kind, headOf(completion), completion.body);
      let send: ((event: string) => Promise<void>) | null = null;
      let completionTokens = 0;
      let cachedTokens = 0;
      for (let index = 0; index < choiceCount(completion); index += 1) {
        const generation = formed(model, completion, prompt, index, signal);
        let step: IteratorResult<Piece, Generated> = await generation.next();
        send ??= begin();
        await send(chunks.begin(index));
        const echo = echoOf(completion);
        if (echo !== '') await send(chunks.text(index, echo, null));
        for (; !step.done; step = await generation.next())
          await send(
            chunks.text(index, step.value.text, logprobsOf(completion, model.tokenizer, step.value)),
          );
        completionTokens += step.value.tokens;
        if (index === 0) cachedTokens = step.value.cachedTokens;
        await send(chunks.finish(index, step.value.reason));
      }
      await send?.(chunks.end(usageOf(prompt.length, completionTokens, cachedTokens)));
    });
  }

  private async withModel<T>(
    teamId: string,
    target: ServeTarget,
    signal: AbortSignal,
    work: (model: Scoped) => Promise<T>,
  ): Promise<T> {
    const endTurn = await this.turns.take(teamId, signal);
    try {
      const held = await this.models.hold(target);
      try {
        return await work({ ...held.value, scope: teamId });
      } finally {
        held.release();
      }
    } finally {
      endTurn();
    }
  }
}

const choiceCount = ({ body }: Completion): number => body.n ?? 1;

const echoOf = ({ kind, body }: Completion): string =>
  kind === 'text' && body.echo === true ? body.prompt : '';

/** An answer, held to the form that the request asks for. */
async function* formed(
  model: Scoped,
  completion: Completion,
  prompt: Int32Array,
  index: number,
  signal: AbortSignal,
): AsyncGenerator<Piece, Generated> {
  const options = optionsOf(completion, model.tokenizer, prompt, index, signal);
  const schema = schemaOf(completion);
  if (schema === null) return yield* generate(model, options);
  const form = await model.forms.open(schema, 'response_format.json_schema.schema');
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

function logprobsOf(
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

function promptOf({ kind, body }: Completion, tokenizer: ChatTokenizer): Int32Array {
  if (kind === 'chat')
    return Int32Array.from(tokenizer.encode(tokenizer.render(body.messages, { addGenerationPrompt: true })));
  const tokens = tokenizer.encode(body.prompt);
  const { bosId } = tokenizer;
  // A template writes the beginning of a text itself; plain text has none.
  return Int32Array.from(bosId === null || tokens[0] === bosId ? tokens : [bosId, ...tokens]);
}

function optionsOf(
  completion: Completion,
  { vocabSize }: ChatTokenizer,
  prompt: Int32Array,
  index: number,
  signal: AbortSignal,
) {
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
  return { prompt, sampling, maxTokens, stop: body.stop, logprobs: logprobCount(completion), signal };
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
