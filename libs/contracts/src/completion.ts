import { z } from 'zod';
import { storedFileSchema } from './base-model';
import { errorCodeSchema } from './errors';
import { baseStorageSchema } from './recipe';
import { idSchema, nameSchema, sha256Schema } from './ids';
import {
  messageCallSchema,
  type Tool,
  toolCallSchema,
  type ToolChoice,
  toolChoiceSchema,
  toolsSchema,
} from './tools';

/*
 * Chat and text completions as OpenAI's API has them (https://platform.openai.com/docs/api-reference), as far as they are served here, and
 * what the API hands to a server. What is not listed is refused by name, so that nobody believes that it had an effect.
 */

const textPartSchema = z.strictObject({ type: z.literal('text'), text: z.string() });
/** Text, or parts of text, which are joined. */
const contentSchema = z
  .union([z.string(), z.array(textPartSchema).min(1)])
  .transform((content) => (typeof content === 'string' ? content : content.map(({ text }) => text).join('')));

/** What clients say of an answer when they give it back, and what has no effect. */
const echoed = {
  refusal: z.null().optional(),
  annotations: z.array(z.unknown()).max(0).nullable().optional(),
  audio: z.null().optional(),
  function_call: z.null().optional(),
};

const completionMessageSchema = z.discriminatedUnion('role', [
  z
    .strictObject({
      role: z.enum(['system', 'developer', 'user']),
      content: contentSchema,
      name: z.string().max(64).optional(),
    })
    .transform(({ role, content }) => ({ role: role === 'developer' ? ('system' as const) : role, content })),
  z
    .strictObject({
      role: z.literal('assistant'),
      content: contentSchema.nullable().default(null),
      name: z.string().max(64).optional(),
      tool_calls: z.array(messageCallSchema).max(128).nullable().optional(),
      ...echoed,
    })
    .refine(({ content, tool_calls: calls }) => content !== null || (calls?.length ?? 0) > 0, {
      path: ['content'],
      message: 'must be text where there are no tool_calls',
    })
    .transform(({ role, content, tool_calls: calls }) => ({
      ...{ role, content },
      ...(calls && calls.length > 0 ? { tool_calls: calls } : {}),
    })),
  z
    .strictObject({ role: z.literal('tool'), content: contentSchema, tool_call_id: z.string().max(256) })
    .transform(({ role, content, tool_call_id }) => ({ role, content, tool_call_id })),
]);
export type CompletionMessage = z.output<typeof completionMessageSchema>;

/** Tokens that an answer has where the request does not say: the rest of the model's context, up to this. */
const mostTokens = 131_072;

const mostSchemaCharacters = 65_536;

const samplingShape = {
  /** 0: always the likeliest token. */
  temperature: z.number().min(0).max(2).nullable().default(1),
  /** Nucleus: the likeliest tokens that together have this probability. */
  top_p: z.number().gt(0).max(1).nullable().default(1),
  /** The likeliest so many tokens; 0: all. Not of OpenAI's. */
  top_k: z.int().min(0).max(1_000_000).nullable().default(0),
  /** Tokens with less than this share of the highest probability are left out. Not of OpenAI's. */
  min_p: z.number().min(0).max(1).nullable().default(0),
  /** Taken off the logits of tokens that the answer has already, and the same times how often it has them. */
  presence_penalty: z.number().min(-2).max(2).nullable().default(0),
  frequency_penalty: z.number().min(-2).max(2).nullable().default(0),
  /** Divides the logits of tokens that prompt or answer have already, where they are above 0, and multiplies the others. Not of OpenAI's. */
  repetition_penalty: z.number().gt(0).max(10).nullable().default(1),
  /** Added to the logits of tokens, by their ids. */
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/, 'must be the id of a token'), z.number().min(-100).max(100))
    .refine((biases) => Object.keys(biases).length <= 1024, 'must have 1,024 tokens at most')
    .nullable()
    .default(null),
  /** The same request with the same seed has the same answer. */
  seed: z.int().nullable().default(null),
  stop: z
    .union([z.string().min(1).max(200), z.array(z.string().min(1).max(200)).max(4)])
    .nullable()
    .default(null)
    .transform((stop) => (stop === null ? [] : typeof stop === 'string' ? [stop] : stop)),
};

/** What OpenAI's API has no words for; clients of theirs send it by `extra_body`. */
const lowrankSchema = z.strictObject({
  /** Adapters of the base model that `model` names, which answer together: the base and the weighted sum of what each adds to it. */
  mix: z
    .array(z.strictObject({ model: z.string().min(1).max(300), weight: z.number().min(-10).max(10) }))
    .min(1)
    .max(8),
});
export type Mix = z.output<typeof lowrankSchema>['mix'];

const answerShape = {
  /** `team/name@version`, `name@version`, `name` (its newest version), or a base model. */
  model: z.string().min(1).max(300),
  n: z.int().min(1).max(8).nullable().default(1),
  lowrank: lowrankSchema.nullable().default(null),
  stream: z.boolean().nullable().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().default(false) })
    .nullable()
    .default(null),
  /** Neither has an effect: what clients tell about themselves. */
  user: z.string().max(256).optional(),
  metadata: z.record(z.string(), z.string()).nullable().optional(),
};

/** What an answer is to be: text, any JSON object, or JSON of a schema (docs/serving.md says which schemas). */
const responseFormatSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    json_schema: z.strictObject({
      name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/, 'must be of letters, digits, _ and -, 64 at most'),
      description: z.string().max(10_000).optional(),
      schema: z
        .record(z.string(), z.unknown())
        .refine(
          (schema) => JSON.stringify(schema).length <= mostSchemaCharacters,
          `must have ${mostSchemaCharacters} characters at most`,
        )
        .optional(),
      /** Has no effect: an answer always is as the schema says. */
      strict: z.boolean().nullable().optional(),
    }),
  }),
]);

const isJson = (format: z.output<typeof responseFormatSchema> | null): boolean =>
  format !== null && format.type !== 'text';

interface Calling {
  tools: readonly Tool[] | null;
  tool_choice: ToolChoice | null;
}
/** Whether an answer may call functions, and whether it has to. */
export const mayCall = ({ tools, tool_choice: choice }: Calling): boolean =>
  (tools ?? []).length > 0 && choice !== 'none';
export const hasToCall = (calling: Calling): boolean =>
  mayCall(calling) && calling.tool_choice !== null && calling.tool_choice !== 'auto';

export const chatCompletionSchema = z
  .strictObject({
    ...answerShape,
    ...samplingShape,
    messages: z.array(completionMessageSchema).min(1).max(2000),
    max_tokens: z.int().min(1).max(mostTokens).nullable().default(null),
    /** The newer name of max_tokens. */
    max_completion_tokens: z.int().min(1).max(mostTokens).nullable().default(null),
    /** The log-probability of each token of the answer, and of so many of the likeliest tokens in its place. */
    logprobs: z.boolean().nullable().default(false),
    top_logprobs: z.int().min(0).max(20).nullable().default(null),
    response_format: responseFormatSchema.nullable().default(null),
    /** Functions that the answer may call, shown to the model as its own template does. */
    tools: toolsSchema.nullable().default(null),
    /** Whether it is to call some: `auto` where there are tools. */
    tool_choice: toolChoiceSchema.nullable().default(null),
    /** False: one call at most. */
    parallel_tool_calls: z.boolean().nullable().default(true),
  })
  .superRefine((body, { addIssue }) => {
    const { tools, tool_choice: choice, response_format: format, stop, logprobs } = body;
    const refuse = (path: string, message: string) =>
      addIssue({ code: 'custom', path: [path], message, input: body });
    const names = (tools ?? []).map((tool) => tool.function.name);
    if (names.length === 0 && choice !== null && choice !== 'none') refuse('tool_choice', 'needs tools');
    if (
      typeof choice === 'object' &&
      choice !== null &&
      names.length > 0 &&
      !names.includes(choice.function.name)
    )
      refuse('tool_choice', 'names a function that is not one of tools');
    if (!mayCall(body)) return;
    if (logprobs === true) refuse('logprobs', 'are not had beside tools: leave one of them out');
    if (!hasToCall(body)) return;
    if (stop.length > 0) refuse('stop', 'could end a call in its middle: leave it out');
    if (isJson(format)) refuse('response_format', 'is not had of an answer that has to call a function');
  })
  .refine(({ logprobs, top_logprobs: top }) => top === null || logprobs === true, {
    path: ['top_logprobs'],
    message: 'needs logprobs to be true',
  })
  .refine(({ stop, response_format: format }) => stop.length === 0 || !isJson(format), {
    path: ['stop'],
    message: 'could end JSON in its middle: leave it out, or response_format',
  })
  .refine(({ messages }) => messages.at(-1)?.role !== 'assistant', {
    path: ['messages'],
    message: 'must not end with an answer of the assistant',
  });
export type ChatCompletionInput = z.input<typeof chatCompletionSchema>;
export type ChatCompletion = z.output<typeof chatCompletionSchema>;

export const textCompletionSchema = z
  .strictObject({
    ...answerShape,
    ...samplingShape,
    prompt: z.string().min(1),
    max_tokens: z.int().min(1).max(mostTokens).nullable().default(16),
    /** The prompt comes first in the answer. */
    echo: z.boolean().nullable().default(false),
    /** The log-probability of each token of the answer, and of so many of the likeliest tokens in its place. */
    logprobs: z.int().min(0).max(20).nullable().default(null),
  })
  .refine(({ echo, logprobs }) => echo !== true || logprobs === null, {
    path: ['logprobs'],
    message: 'are not had of a prompt: leave echo out',
  });
export type TextCompletionInput = z.input<typeof textCompletionSchema>;
export type TextCompletion = z.output<typeof textCompletionSchema>;

const servedAdapterSchema = z.strictObject({
  /** Of the version. */
  id: idSchema('version'),
  files: z.array(storedFileSchema),
  /** The template that it was trained with: it is served with no other. */
  templateSha256: sha256Schema,
});

/** What a server has to load for a request: a base, with an adapter or with a mix of some. */
export const serveTargetSchema = z.strictObject({
  baseModel: z.strictObject({
    name: nameSchema,
    files: z.array(storedFileSchema),
    storage: baseStorageSchema,
  }),
  adapter: servedAdapterSchema.nullable(),
  mix: z
    .array(z.strictObject({ adapter: servedAdapterSchema, weight: z.number() }))
    .min(1)
    .optional(),
});
export type ServeTarget = z.infer<typeof serveTargetSchema>;

/** What a server is to keep whatever else is asked for: versions, each on its base. */
export const pinsSchema = z.strictObject({
  targets: z.array(serveTargetSchema.extend({ adapter: servedAdapterSchema })).max(10_000),
});

/** What became of a pin at a server, by the id of its version. */
export const pinStateSchema = z.object({
  id: idSchema('version'),
  state: z.enum(['loaded', 'refused']),
  /** Of the adapter in memory. */
  bytes: z.number().nonnegative(),
  reason: z.object({ code: errorCodeSchema, message: z.string() }).nullable(),
});
export type PinState = z.infer<typeof pinStateSchema>;
export const pinStatesSchema = z.object({ pins: z.array(pinStateSchema) });

/** From the API to a server, on behalf of a team. */
export const serveRequestSchema = z.strictObject({
  teamId: idSchema('team'),
  target: serveTargetSchema,
  completion: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('chat'), body: chatCompletionSchema }),
    z.strictObject({ kind: z.literal('text'), body: textCompletionSchema }),
  ]),
});
export type ServeRequest = z.output<typeof serveRequestSchema>;
export type ServeRequestInput = z.input<typeof serveRequestSchema>;

export const finishReasonSchema = z.enum(['stop', 'length', 'tool_calls']);
export type FinishReason = z.infer<typeof finishReasonSchema>;

export const usageSchema = z.object({
  prompt_tokens: z.int().nonnegative(),
  completion_tokens: z.int().nonnegative(),
  total_tokens: z.int().nonnegative(),
  /** Of the prompt's tokens, those that an earlier request of the team had left in the cache. */
  prompt_tokens_details: z.object({ cached_tokens: z.int().nonnegative() }),
});
export type Usage = z.infer<typeof usageSchema>;

const tokenLogprobShape = {
  token: z.string(),
  logprob: z.number(),
  /** UTF-8 that the token writes; null where that is not known. A character may be spread over several tokens. */
  bytes: z.array(z.int()).nullable(),
};
export const chatLogprobsSchema = z.object({
  content: z.array(z.object({ ...tokenLogprobShape, top_logprobs: z.array(z.object(tokenLogprobShape)) })),
  refusal: z.null(),
});
export type ChatLogprobs = z.infer<typeof chatLogprobsSchema>;

/** One entry a token. `text_offset`: characters before it, those of the prompt included. */
export const textLogprobsSchema = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number()),
  top_logprobs: z.array(z.record(z.string(), z.number())),
  text_offset: z.array(z.int()),
});
export type TextLogprobs = z.infer<typeof textLogprobsSchema>;

const answerOf = <Name extends string, Choice extends z.ZodRawShape>(object: Name, choice: Choice) =>
  z.object({
    id: z.string(),
    object: z.literal(object),
    /** Seconds since 1970. */
    created: z.int(),
    model: z.string(),
    choices: z.array(
      z.object({
        index: z.int().nonnegative(),
        ...choice,
        finish_reason: finishReasonSchema,
      }),
    ),
    usage: usageSchema,
  });

export const chatCompletionAnswerSchema = answerOf('chat.completion', {
  message: z.object({
    role: z.literal('assistant'),
    /** null: it calls functions, and says nothing. */
    content: z.string().nullable(),
    refusal: z.null(),
    tool_calls: z.array(toolCallSchema).optional(),
  }),
  logprobs: chatLogprobsSchema.nullable(),
});
export type ChatCompletionAnswer = z.infer<typeof chatCompletionAnswerSchema>;

export const textCompletionAnswerSchema = answerOf('text_completion', {
  text: z.string(),
  logprobs: textLogprobsSchema.nullable(),
});
export type TextCompletionAnswer = z.infer<typeof textCompletionAnswerSchema>;
