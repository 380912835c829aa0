import { type ChatMessage, type ChatRow } from '@lowrank/contracts';
import { isAbsent, isObject, MAX_MESSAGES, parseMessages, parseToolCall, parseTools } from './messages';
import { RowError } from './row-error';

/** Who speaks, by the names that are in use. */
const speakers: Readonly<Record<string, ChatMessage['role'] | 'call'>> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  chatgpt: 'assistant',
  bing: 'assistant',
  bard: 'assistant',
  model: 'assistant',
  assistant: 'assistant',
  function_call: 'call',
  tool_call: 'call',
  observation: 'tool',
  function_response: 'tool',
  tool: 'tool',
};

/** Calls in the text of a turn: one {name, arguments}, or a list of them. */
function callsOf(text: string, path: string): ChatMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RowError('a function call has to be the JSON text of {name, arguments}', path);
  }
  const calls = Array.isArray(value) ? value : [value];
  if (calls.length === 0) throw new RowError('a function call has to name a function', path);
  return { role: 'assistant', tool_calls: calls.map((call) => parseToolCall(call, path)) };
}

function parseTurn(turn: unknown, path: string): ChatMessage {
  if (!isObject(turn)) throw new RowError('a turn has to be an object {from, value}', path);
  const { from, value } = turn;
  const role = typeof from === 'string' && Object.hasOwn(speakers, from) ? speakers[from] : undefined;
  if (role === undefined)
    throw new RowError(`from has to be one of ${Object.keys(speakers).join(', ')}`, `${path}.from`);
  if (typeof value !== 'string') throw new RowError('value has to be text', `${path}.value`);
  return role === 'call' ? callsOf(value, `${path}.value`) : { role, content: value };
}

/**
 * A row in ShareGPT's layout as a conversation: `conversations` [{from, value}], an optional text `system` before them, and optional
 * `tools`. Turns of `function_call` hold JSON, `observation` what the tool answered. Turns of {role, content} are taken too.
 * Throws RowError.
 */
export function parseShareGpt(row: Record<string, unknown>): ChatRow {
  const { conversations: turns, system } = row;
  const field = 'conversations';
  if (!Array.isArray(turns)) throw new RowError(`${field} has to be a list of {from, value}`, field);
  if (turns.length === 0) throw new RowError(`${field} is empty`, field);
  if (turns.length > MAX_MESSAGES) throw new RowError(`more than ${MAX_MESSAGES} turns`, field);
  if (!isAbsent(system) && typeof system !== 'string') throw new RowError('system has to be text', 'system');
  const [first] = turns as unknown[];
  const messages =
    isObject(first) && 'role' in first
      ? parseMessages(turns, field)
      : turns.map((turn, i) => parseTurn(turn, `${field}.${i}`));
  if (system) messages.unshift({ role: 'system', content: system });
  const tools = parseTools(row['tools']);
  return { messages, ...(tools && { tools }) };
}
