import { type Usage } from '@lowrank/contracts';
import { eventStreamParser } from '../../lib/event-stream';
import { type Side } from './routes';

export interface Answer {
  text: string;
  state: 'waiting' | 'streaming' | 'done' | 'stopped' | 'failed';
  /** The model that gave it. */
  model: string;
  error?: unknown;
  /** Tokens, and seconds from the first of them to the last. */
  tokens?: number;
  seconds?: number;
  /** Why it ended: it was whole, or as long as was allowed. */
  finish?: string;
}

/** What was asked, and what each side said to it; a side without a model said nothing. */
export interface Turn {
  id: number;
  prompt: string;
  answers: Partial<Record<Side, Answer>>;
}

export interface Message {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/** The conversation as one side has had it, up to the last question. Questions that it has not answered are left out, but for the last. */
export function messagesOf(turns: Turn[], side: Side, system: string): Message[] {
  const messages: Message[] = system.trim() === '' ? [] : [{ role: 'system', content: system }];
  turns.forEach(({ prompt, answers }, index) => {
    const isLast = index === turns.length - 1;
    const text = answers[side]?.text ?? '';
    if (!isLast && text === '') return;
    messages.push({ role: 'user', content: prompt });
    if (!isLast) messages.push({ role: 'assistant', content: text });
  });
  return messages;
}

export interface Piece {
  text: string;
  finish: string | null;
  usage: Usage | null;
}

interface Chunk {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
  usage?: Usage | null;
  error?: { message?: string };
}

/** Takes the text of a stream of chat completions and gives what each piece of it adds. Throws what the stream tells as an error. */
export function completionParser(): (piece: string) => Piece[] {
  const parse = eventStreamParser();
  return (piece) =>
    parse(piece)
      .filter(({ data }) => data !== '[DONE]')
      .map(({ data }) => {
        const { choices, usage, error } = JSON.parse(data) as Chunk;
        if (error !== undefined) throw new Error(error.message ?? 'The server broke off.');
        return {
          text: choices?.[0]?.delta?.content ?? '',
          finish: choices?.[0]?.finish_reason ?? null,
          usage: usage ?? null,
        };
      });
}
