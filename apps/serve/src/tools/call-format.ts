import { type ChatMessage, LowrankError } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';

/** How a model writes calls of functions, as its chat template does. */
export interface CallFormat {
  /** What stands before a call of an answer. */
  open: string;
  /** The same and what stands after a call, without the white space around; both may be nothing. */
  mark: string;
  endMark: string;
  /** What the arguments are called, after the name: `arguments` or `parameters`. */
  key: string;
}

/** Names that occur in no template. */
const name = 'qzx_function';
const argument = 'qzx_argument';
const value = 'qzx_value';
const tools = [
  {
    type: 'function',
    function: {
      ...{ name, description: 'Does it.' },
      parameters: { type: 'object', properties: { [argument]: { type: 'string' } }, required: [argument] },
    },
  },
];
const asked: ChatMessage[] = [{ role: 'user', content: 'Do it.' }];
const called: ChatMessage = {
  role: 'assistant',
  tool_calls: [{ id: 'call_0', type: 'function', function: { name, arguments: { [argument]: value } } }],
};

/** A call as JSON. */
const pattern = new RegExp(
  `\\{\\s*"name"\\s*:\\s*"${name}"\\s*,\\s*"(\\w+)"\\s*:\\s*\\{\\s*"${argument}"\\s*:\\s*"${value}"\\s*\\}\\s*\\}`,
);

/** What a template writes of an answer with a call; null: it fails, or writes none. */
function written(tokenizer: ChatTokenizer): { text: string; call: RegExpExecArray } | null {
  try {
    const before = tokenizer.render(asked, { addGenerationPrompt: true, tools });
    const whole = tokenizer.render([...asked, called], { tools });
    const call = whole.startsWith(before) ? pattern.exec(whole.slice(before.length)) : null;
    return before.includes(name) && call !== null ? { text: whole.slice(before.length), call } : null;
  } catch (error) {
    if (error instanceof LowrankError) return null;
    throw error;
  }
}

/**
 * Reads off a model's chat template how it writes calls: as JSON objects of a name and arguments, with anything around them, as those of
 * Hermes, Qwen and Llama 3 do. Error: validation_failed where it shows no tools, or writes calls otherwise.
 */
export function callFormatOf(tokenizer: ChatTokenizer): CallFormat {
  const known = formats.get(tokenizer);
  if (known !== undefined) return known;
  const example = written(tokenizer);
  if (example === null)
    throw new LowrankError(
      'validation_failed',
      "This model's chat template shows no tools, or writes calls in a way that is not known here.",
      [{ path: 'tools', message: 'are not had of this model: leave them out' }],
    );
  const { text, call } = example;
  const open = text.slice(0, call.index);
  const format = {
    ...{ open, mark: open.trim(), key: call[1] ?? 'arguments' },
    endMark: untilEnd(text.slice(call.index + call[0].length), tokenizer).trim(),
  };
  formats.set(tokenizer, format);
  return format;
}

const formats = new WeakMap<ChatTokenizer, CallFormat>();

/** What comes before the end of a turn. */
function untilEnd(text: string, tokenizer: ChatTokenizer): string {
  const ends = [...tokenizer.stopIds]
    .map((id) => text.indexOf(tokenizer.decode([id], { keepSpecial: true })))
    .filter((at) => at >= 0);
  return text.slice(0, Math.min(text.length, ...ends));
}
