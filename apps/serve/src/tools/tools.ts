import {
  type AnsweredCall,
  type ChatCompletion,
  type ChatMessage,
  type CompletionMessage,
  hasToCall,
  LowrankError,
  mayCall,
  type Tool,
} from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';
import { randomBytes } from 'node:crypto';
import { type Form } from '../generation/generate';
import { type Completion } from '../http/answers';
import { type Model } from '../models/models';
import { type CallFormat, callFormatOf } from './call-format';
import { CallGuide } from './call-guide';
import { CallParser, type Said } from './call-parser';

type Schema = Record<string, unknown>;

/** Of a request that may call functions; null: it may not. */
const callingOf = ({ kind, body }: Completion): ChatCompletion | null =>
  kind === 'chat' && mayCall(body) ? body : null;

/** A conversation as templates see it: arguments of calls are objects there. */
const messageOf = (message: CompletionMessage): ChatMessage => {
  if (message.role !== 'assistant') return message;
  const { role, content, tool_calls: calls } = message;
  return {
    ...{ role, ...(content === null ? {} : { content }) },
    ...(calls && {
      tool_calls: calls.map(({ id, type, function: { name, arguments: text } }) => ({
        ...{ id, type, function: { name, arguments: JSON.parse(text) as Record<string, unknown> } },
      })),
    }),
  };
};

/** Tools as clients write them, without what is for the server alone. */
const shownOf = (tools: readonly Tool[]): object[] =>
  tools.map(({ type, function: { strict: _strict, ...shown } }) => ({ type, function: shown }));

/** The text that an answer goes on from: of one that has to call a function, up to where the call itself begins. */
export function renderChat(body: ChatCompletion, tokenizer: ChatTokenizer): string {
  const messages = body.messages.map(messageOf);
  if (!mayCall(body)) return tokenizer.render(messages, { addGenerationPrompt: true });
  const { open } = callFormatOf(tokenizer);
  const tools = shownOf(body.tools ?? []);
  return tokenizer.render(messages, { addGenerationPrompt: true, tools }) + (hasToCall(body) ? open : '');
}

/** The functions that a call may be of, with their places in the request. */
function choicesOf({ tools, tool_choice: choice }: ChatCompletion): (Tool & { place: number })[] {
  const named = typeof choice === 'object' ? choice?.function.name : undefined;
  return (tools ?? [])
    .map((tool, place) => ({ ...tool, place }))
    .filter((tool) => named === undefined || tool.function.name === named);
}

/** The schema of a call, whatever function it is of; of those whose places are in `loose` the arguments are any object. */
function callSchema(body: ChatCompletion, key: string, loose: ReadonlySet<number> = new Set()): Schema {
  const nothing = { type: 'object', additionalProperties: false };
  const given = choicesOf(body).map(({ function: { name, parameters = nothing }, place }) => ({
    name,
    parameters: loose.has(place) ? { type: 'object' } : parameters,
  }));
  return {
    anyOf: given.map(({ name, parameters }, i) => ({
      type: 'object',
      properties: { name: { const: name }, [key]: relocated(parameters, `#/anyOf/${i}/properties/${key}`) },
      required: ['name', key],
      additionalProperties: false,
    })),
  };
}

/**
 * What holds an answer's calls to their functions; null: nothing does. Where a call has to be made, the answer is one; where none has to, calls are held
 * from where they begin. Errors: validation_failed, naming what of a schema is not supported; of a function that need not be called, and is not `strict`, then
 * the arguments are held to JSON only. To be closed.
 */
export async function callFormOf(
  completion: Completion,
  { tokenizer, forms }: Pick<Model, 'tokenizer' | 'forms'>,
): Promise<(Form & { close(): void }) | null> {
  const body = callingOf(completion);
  if (body === null) return null;
  const format = callFormatOf(tokenizer);
  const functions = (body.tools ?? []).map((tool) => tool.function);
  const loose = new Set<number>();
  for (;;) {
    const schema = callSchema(body, format.key, loose);
    try {
      const form = await forms.open(schema, 'tools');
      if (hasToCall(body)) return form;
      form.close();
      const names = functions.map(({ name }) => name);
      return new CallGuide(format, names, tokenizer, (begun) => forms.openAt(schema, 'tools', begun));
    } catch (error) {
      const told = inRequest(error, body);
      if (hasToCall(body) || !(told instanceof LowrankError) || told.code !== 'validation_failed') throw told;
      const place = Number(/^tools\.(\d+)\./.exec(told.details?.[0]?.path ?? '')?.[1] ?? NaN);
      if ((functions[place] ? [functions[place]] : functions).some(({ strict }) => strict === true))
        throw told;
      if (functions[place] === undefined || loose.has(place)) return null;
      loose.add(place);
    }
  }
}

/** A schema within another: what it refers to in itself is there now. */
function relocated(schema: unknown, place: string): unknown {
  if (Array.isArray(schema)) return schema.map((one) => relocated(one, place));
  if (typeof schema !== 'object' || schema === null) return schema;
  return Object.fromEntries(
    Object.entries(schema).map(([keyword, value]) => [
      keyword,
      keyword === '$ref' && typeof value === 'string' && value.startsWith('#')
        ? place + value.slice(1)
        : relocated(value, place),
    ]),
  );
}

/** An error about a part of that schema, which names it as the request has it; any other as it is. */
function inRequest(error: unknown, body: ChatCompletion): unknown {
  if (!(error instanceof LowrankError) || error.code !== 'validation_failed') return error;
  const places = choicesOf(body).map(({ place }) => place);
  const named = (text: string) =>
    text.replace(
      /\btools\.anyOf\.(\d+)\.properties\.(?:arguments|parameters)/g,
      (_, i: string) => `tools.${places[Number(i)]}.function.parameters`,
    );
  const details = error.details?.map(({ path, ...rest }) => ({
    ...rest,
    ...(path === undefined ? {} : { path: named(path) }),
  }));
  return new LowrankError(error.code, named(error.message), details, { help: error.help });
}

/** What tells calls from text in an answer; null: it may not call. */
export function parserOf(completion: Completion, tokenizer: ChatTokenizer): CallParser | null {
  const body = callingOf(completion);
  if (body === null) return null;
  const names = new Set((body.tools ?? []).map((tool) => tool.function.name));
  const marks: Pick<CallFormat, 'mark' | 'endMark'> = hasToCall(body)
    ? { mark: '', endMark: '' }
    : callFormatOf(tokenizer);
  return new CallParser(marks, (name) => names.has(name));
}

export const callId = (): string => `call_${randomBytes(12).toString('hex')}`;

/** The calls and the text of a whole answer. */
export function collected(said: readonly Said[]): { text: string; calls: AnsweredCall[] } {
  let text = '';
  const calls: AnsweredCall[] = [];
  for (const one of said)
    if (one.kind === 'text') text += one.text;
    else if (one.kind === 'call')
      calls.push({ id: callId(), type: 'function', function: { name: one.name, arguments: '' } });
    else (calls[one.index] as AnsweredCall).function.arguments += one.text;
  return { text, calls };
}
