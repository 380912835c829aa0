import { type ChatMessage, type ToolCall } from '@lowrank/contracts';
import { RowError } from './row-error';

/** More turns than any conversation has; each assistant turn is rendered on its own. */
export const MAX_MESSAGES = 1000;
const MAX_TOOLS = 256;
/** Levels of a tool's schema or a call's arguments; templates walk through them by recursion. */
const MAX_DEPTH = 32;

const roles: readonly unknown[] = ['system', 'user', 'assistant', 'tool'] satisfies ChatMessage['role'][];

type Fields = Record<string, unknown>;
export const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** Columns of tables have no absent fields, only empty ones. */
export const isAbsent = (value: unknown): value is null | undefined => value === null || value === undefined;

/** Refuses what is nested more deeply than any schema or argument is, without recursion. */
function assertShallow(value: unknown, path: string): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) throw new RowError(`nested more than ${MAX_DEPTH} levels deep`, path);
    level = level.flatMap((one) =>
      typeof one === 'object' && one !== null ? (Object.values(one) as unknown[]) : [],
    );
  }
}

/** A value that may be written as JSON text. */
function fromJson(value: unknown, path: string): unknown {
  if (typeof value !== 'string') return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    throw new RowError('text that is not JSON', path);
  }
}

/**
 * A call as OpenAI writes it: {id, type: 'function', function: {name, arguments}}, arguments as JSON text or an object. A bare
 * {name, arguments} is taken too. Throws RowError.
 */
export function parseToolCall(value: unknown, path: string): ToolCall {
  if (!isObject(value)) throw new RowError('a tool call has to be an object', path);
  const wrapped = !isAbsent(value['function']);
  const call = wrapped ? value['function'] : value;
  const at = wrapped ? `${path}.function` : path;
  if (!isObject(call)) throw new RowError('function has to be {name, arguments}', at);
  const { name } = call;
  if (typeof name !== 'string' || name === '') throw new RowError('a tool call needs a name', `${at}.name`);
  const given = fromJson(call['arguments'] ?? {}, `${at}.arguments`);
  if (!isObject(given)) throw new RowError('arguments have to be a JSON object', `${at}.arguments`);
  assertShallow(given, `${at}.arguments`);
  const { id } = value;
  if (!isAbsent(id) && typeof id !== 'string') throw new RowError('id has to be text', `${path}.id`);
  return { ...(isAbsent(id) ? {} : { id }), type: 'function', function: { name, arguments: given } };
}

/**
 * The tools of a row: a list of {type: 'function', function: {name, description, parameters}} or of the bare functions, or either as
 * JSON text. Kept as they are otherwise, in the order of their fields, since templates write them out. Throws RowError.
 */
export function parseTools(value: unknown, path = 'tools'): object[] | undefined {
  if (isAbsent(value) || value === '') return undefined;
  const list = fromJson(value, path);
  if (!Array.isArray(list)) throw new RowError('tools has to be a list', path);
  if (list.length > MAX_TOOLS) throw new RowError(`more than ${MAX_TOOLS} tools`, path);
  if (list.length === 0) return undefined;
  return list.map((tool: unknown, i) => {
    const at = `${path}.${i}`;
    if (!isObject(tool)) throw new RowError('a tool has to be an object', at);
    assertShallow(tool, at);
    const { name } = isObject(tool['function']) ? tool['function'] : tool;
    if (typeof name !== 'string' || name === '')
      throw new RowError('a tool needs a name', `${at}.function.name`);
    return isObject(tool['function']) ? tool : { type: 'function', function: tool };
  });
}

function parseMessage(value: unknown, path: string): ChatMessage {
  if (!isObject(value)) throw new RowError('a message has to be an object {role, content}', path);
  const role = value['role'] as ChatMessage['role'];
  if (!roles.includes(role)) throw new RowError(`role has to be one of ${roles.join(', ')}`, `${path}.role`);
  const calls = value['tool_calls'];
  if (!isAbsent(calls) && !Array.isArray(calls))
    throw new RowError('tool_calls has to be a list', `${path}.tool_calls`);
  const hasCalls = Array.isArray(calls) && calls.length > 0;
  if (hasCalls && role !== 'assistant')
    throw new RowError('only the assistant calls tools', `${path}.tool_calls`);
  const content = value['content'];
  const isSilent = hasCalls && isAbsent(content);
  if (typeof content !== 'string' && !isSilent)
    throw new RowError('content has to be a string', `${path}.content`);
  const message: ChatMessage = { role, ...(isSilent ? {} : { content: content as string }) };
  const { reasoning_content: thoughts } = value;
  if (role === 'assistant' && !isAbsent(thoughts)) {
    if (typeof thoughts !== 'string')
      throw new RowError('reasoning_content has to be text', `${path}.reasoning_content`);
    message.reasoning_content = thoughts;
  }
  if (hasCalls) message.tool_calls = calls.map((call, i) => parseToolCall(call, `${path}.tool_calls.${i}`));
  if (role === 'tool') {
    for (const field of ['tool_call_id', 'name'] as const) {
      const text = value[field];
      if (isAbsent(text)) continue;
      if (typeof text !== 'string') throw new RowError(`${field} has to be text`, `${path}.${field}`);
      message[field] = text;
    }
  }
  return message;
}

/** The messages of a conversation. Fields that are not known are left out. Throws RowError. */
export function parseMessages(value: unknown, path: string): ChatMessage[] {
  if (!Array.isArray(value)) throw new RowError(`${path} has to be a list of {role, content}`, path);
  if (value.length === 0) throw new RowError(`${path} is empty`, path);
  if (value.length > MAX_MESSAGES) throw new RowError(`more than ${MAX_MESSAGES} messages`, path);
  return value.map((message, i) => parseMessage(message, `${path}.${i}`));
}

/** Indexes of answers that OpenAI's `weight: 0` takes out of what is learnt. Throws RowError. */
export function notLearntOf(messages: readonly unknown[], path: string): number[] {
  return messages.flatMap((message, i) => {
    const { weight } = message as { weight?: unknown };
    if (isAbsent(weight) || weight === 1) return [];
    if (weight !== 0) throw new RowError('weight has to be 0 or 1', `${path}.${i}.weight`);
    return [i];
  });
}

/** Whether a message is an answer with something in it to learn. */
export const isAnswer = ({ role, content, tool_calls: calls }: ChatMessage): boolean =>
  role === 'assistant' && (calls !== undefined || (content ?? '').trim() !== '');
