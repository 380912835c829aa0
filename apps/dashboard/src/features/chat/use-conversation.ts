import { useEffect, useRef, useState } from 'react';
import { errorOf } from '../../lib/api';
import { type Answer, completionParser, messagesOf, type Turn } from './conversation';
import { type ChatSearch, type Side, sides } from './routes';

export const defaults = { temperature: 0.7, maxTokens: 256 };

/** Two conversations with the same questions, each with a model of its own; answers come as they are generated. */
export function useConversation({ temperature, maxTokens, ...models }: ChatSearch, system: string) {
  const [turns, setTurns] = useState<Turn[]>([]);
  const running = useRef(new Map<Side, AbortController>());
  const made = useRef(0);
  useEffect(() => {
    const all = running.current;
    return () => all.forEach((controller) => controller.abort());
  }, []);

  const change = (id: number, side: Side, changes: (answer: Answer) => Partial<Answer>) =>
    setTurns((before) =>
      before.map((turn) => {
        const answer = turn.answers[side];
        if (turn.id !== id || answer === undefined) return turn;
        return { ...turn, answers: { ...turn.answers, [side]: { ...answer, ...changes(answer) } } };
      }),
    );

  const ask = async (all: Turn[], side: Side, model: string): Promise<void> => {
    const id = all.at(-1)?.id ?? 0;
    const controller = new AbortController();
    running.current.set(side, controller);
    let first = 0;
    try {
      const response = await fetch('/v1/chat/completions', {
        method: 'POST',
        signal: controller.signal,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model,
          messages: messagesOf(all, side, system),
          temperature: temperature ?? defaults.temperature,
          max_tokens: maxTokens ?? defaults.maxTokens,
          stream: true,
          stream_options: { include_usage: true },
        }),
      });
      if (!response.ok || response.body === null) throw await errorOf(response);
      const parse = completionParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const pieces = parse(value);
        const text = pieces.map((piece) => piece.text).join('');
        if (text !== '' && first === 0) first = performance.now();
        const finish = pieces.find((piece) => piece.finish !== null)?.finish;
        const usage = pieces.find((piece) => piece.usage !== null)?.usage;
        change(id, side, (answer) => ({
          text: answer.text + text,
          state: 'streaming',
          ...(finish ? { finish } : {}),
          ...(usage ? { tokens: usage.completion_tokens, seconds: (performance.now() - first) / 1000 } : {}),
        }));
      }
      change(id, side, () => ({ state: 'done' }));
    } catch (error) {
      change(id, side, () => (controller.signal.aborted ? { state: 'stopped' } : { state: 'failed', error }));
    } finally {
      if (running.current.get(side) === controller) running.current.delete(side);
    }
  };

  const isRunning = turns.at(-1)?.answers;
  return {
    turns,
    isBusy: sides.some((side) => ['waiting', 'streaming'].includes(isRunning?.[side]?.state ?? 'done')),
    send(prompt: string): void {
      const answers: Turn['answers'] = {};
      for (const side of sides) {
        const model = models[side];
        if (model !== undefined) answers[side] = { text: '', state: 'waiting', model };
      }
      const all = [...turns, { id: ++made.current, prompt, answers }];
      setTurns(all);
      for (const side of sides) {
        const model = models[side];
        if (model !== undefined) void ask(all, side, model);
      }
    },
    stop(): void {
      running.current.forEach((controller) => controller.abort());
    },
    clear(): void {
      running.current.forEach((controller) => controller.abort());
      setTurns([]);
    },
  };
}
