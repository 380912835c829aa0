import { type ChatMessage } from '@lowrank/contracts';
import { type ChatTokenizer } from '@lowrank/datasets';

/** Texts between the parts of a conversation. */
interface Pieces {
  /** Before the first turn: without a system message, and around one. */
  head: string;
  system: [before: string, after: string] | null;
  beforeUser: string;
  /** Between a user's turn and an answer that is there, and one that is to come. */
  beforeAnswer: string;
  beforeGeneration: string;
  afterAnswer: string;
}

type Render = (messages: readonly ChatMessage[], generate: boolean) => string;

const marks = { system: '\u0001S\u0001', user: '\u0001U\u0001', assistant: '\u0001A\u0001' };
const message = (role: keyof typeof marks): ChatMessage => ({ role, content: marks[role] });
/** No template writes such a character. */
const mark = new RegExp(`${String.fromCharCode(1)}[SUA]${String.fromCharCode(1)}`);

/** The texts between the marks, `count` marks long; null: the template does not write every message once. */
function between(text: string, count: number): string[] | null {
  const parts = text.split(mark);
  return parts.length === count + 1 ? parts : null;
}

/** Finds the pieces from conversations whose contents are marks; null: the template is not made of such pieces. */
function piecesOf(render: Render): Pieces | null {
  const [user, assistant, system] = [message('user'), message('assistant'), message('system')];
  const turns = between(render([user, assistant, user, assistant], false), 4);
  const asked = between(render([user], true), 1);
  if (turns === null || asked === null) return null;
  const [first, beforeAnswer, beforeSecond, , afterAnswer] = turns as [
    string,
    string,
    string,
    string,
    string,
  ];
  if (!beforeSecond.startsWith(afterAnswer)) return null;
  const beforeUser = beforeSecond.slice(afterAnswer.length);
  if (!first.endsWith(beforeUser)) return null;
  let around: Pieces['system'] = null;
  try {
    const [before, after] = between(render([system, user], true), 2) ?? [];
    if (before === undefined || after?.endsWith(beforeUser) !== true) return null;
    around = [before, after.slice(0, after.length - beforeUser.length)];
  } catch {
    // Some templates refuse a system message.
  }
  const head = first.slice(0, first.length - beforeUser.length);
  return {
    head,
    system: around,
    beforeUser,
    beforeAnswer,
    beforeGeneration: asked[1] as string,
    afterAnswer,
  };
}

function assemble(pieces: Pieces, messages: readonly ChatMessage[]): string {
  const [first] = messages;
  const around = first?.role === 'system' ? pieces.system : null;
  const head = around ? around[0] + (first?.content ?? '') + around[1] : pieces.head;
  const turns = messages
    .filter(({ role }) => role !== 'system')
    .map(({ role, content }) =>
      role === 'user' ? pieces.beforeUser + content : pieces.beforeAnswer + content + pieces.afterAnswer,
    );
  return head + turns.join('') + pieces.beforeGeneration;
}

/** Whether the pieces make what the template makes, of conversations as they are. */
function agrees(pieces: Pieces, render: Render): boolean {
  const user: ChatMessage = { role: 'user', content: 'How many?' };
  const answer: ChatMessage = { role: 'assistant', content: 'Twelve.\nNot more.' };
  const system: ChatMessage = { role: 'system', content: 'Be brief.' };
  const turns = [[user], [user, answer, user], [user, answer, user, answer, user]];
  const all = pieces.system === null ? turns : [...turns, ...turns.map((messages) => [system, ...messages])];
  return all.every((messages) => assemble(pieces, messages) === render(messages, true));
}

/** Text in a template of Go's text/template. */
const literal = (text: string): string => text.replaceAll('{{', '{{ "{{" }}');

/**
 * The model's chat template in the language of Ollama's (Go's text/template). It is found by rendering conversations and checked on others;
 * null: the template is of another kind, and readers are left with the one inside the GGUF file. `bos` is left out at its beginning where
 * readers add it themselves.
 */
export function ollamaTemplate(tokenizer: ChatTokenizer, bos: string | null): string | null {
  const render: Render = (messages, addGenerationPrompt) =>
    tokenizer.render(messages, { addGenerationPrompt });
  let pieces: Pieces | null;
  try {
    pieces = piecesOf(render);
    if (pieces === null || !agrees(pieces, render)) return null;
  } catch {
    return null;
  }
  const begin = (text: string) =>
    literal(bos !== null && text.startsWith(bos) ? text.slice(bos.length) : text);
  const { head, system, beforeUser, beforeAnswer, beforeGeneration, afterAnswer } = pieces;
  const start =
    system === null
      ? begin(head)
      : `{{ if .System }}${begin(system[0])}{{ .System }}${literal(system[1])}{{ else }}${begin(head)}{{ end }}`;
  const template =
    `${start}{{ range .Messages }}{{ if eq .Role "user" }}${literal(beforeUser)}{{ .Content }}` +
    `{{ else if eq .Role "assistant" }}${literal(beforeAnswer)}{{ .Content }}${literal(afterAnswer)}{{ end }}{{ end }}` +
    literal(beforeGeneration);
  return template.includes('"""') ? null : template;
}

export interface ModelfileOptions {
  tokenizer: ChatTokenizer;
  /** FROM: a file beside the Modelfile or a model; ADAPTER: a file beside it. */
  from: string;
  adapter?: string;
  /** Text of the token that readers begin a text with themselves; null: they add none. */
  bos: string | null;
  /** What stands at its top, a line each. */
  notes: readonly string[];
}

/** An Ollama Modelfile, https://github.com/ollama/ollama/blob/main/docs/modelfile.md: weights, template, what ends an answer. */
export function modelfile({ tokenizer, from, adapter, bos, notes }: ModelfileOptions): string {
  const template = ollamaTemplate(tokenizer, bos);
  const stops = [...tokenizer.stopIds].map((id) => tokenizer.decode([id], { keepSpecial: true }));
  return [
    ...notes.map((note) => `# ${note}`),
    `FROM ${from}`,
    ...(adapter === undefined ? [] : [`ADAPTER ${adapter}`]),
    ...(template === null ? [] : [`TEMPLATE """${template}"""`]),
    ...stops.filter((stop) => stop !== '').map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
    '',
  ].join('\n');
}
