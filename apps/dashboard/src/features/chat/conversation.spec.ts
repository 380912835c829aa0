import { completionParser, messagesOf, type Turn } from './conversation';

const answer = (text: string) => ({ text, state: 'done' as const, model: 'tiny' });
const turns: Turn[] = [
  { id: 1, prompt: 'One?', answers: { left: answer('1'), right: answer('I') } },
  { id: 2, prompt: 'Two?', answers: { right: answer('II') } },
  { id: 3, prompt: 'Three?', answers: {} },
];

describe('messagesOf', () => {
  it('is what a side has said itself, and the last question', () => {
    expect(messagesOf(turns, 'right', '').map(({ content }) => content)).toEqual([
      'One?',
      'I',
      'Two?',
      'II',
      'Three?',
    ]);
  });

  it('leaves out what a side was not asked, and begins with the system message', () => {
    expect(messagesOf(turns, 'left', 'Be brief.')).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'One?' },
      { role: 'assistant', content: '1' },
      { role: 'user', content: 'Three?' },
    ]);
  });
});

describe('completionParser', () => {
  it('reads text, the end and the tokens, however the stream is cut', () => {
    const events = [
      { choices: [{ delta: { role: 'assistant', content: '' }, finish_reason: null }] },
      { choices: [{ delta: { content: 'Ahoy' }, finish_reason: null }] },
      { choices: [{ delta: {}, finish_reason: 'stop' }] },
      { choices: [], usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 } },
    ];
    const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('') + 'data: [DONE]\n\n';
    const parse = completionParser();
    const pieces = [...text].flatMap((letter) => parse(letter));
    expect(pieces.map((piece) => piece.text).join('')).toBe('Ahoy');
    expect(pieces.map(({ finish }) => finish)).toEqual([null, null, 'stop', null]);
    expect(pieces.at(-1)?.usage?.completion_tokens).toBe(1);
  });

  it('throws what the stream tells as an error', () => {
    expect(() => completionParser()('data: {"error": {"message": "Too long."}}\n\n')).toThrow('Too long.');
  });
});
