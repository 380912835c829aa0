import { tokenBytes } from './token-bytes';

const added = [
  { id: 7, content: '<|end|>', special: true },
  { id: 8, content: '<tool>', special: false },
];
const spelled = (decoder: unknown, tokens: string[]) => {
  const bytes = tokenBytes({ decoder, added, tokenOf: (id) => tokens[id] });
  return (id: number) => {
    const found = bytes(id);
    return found === null ? null : Buffer.from(found).toString('latin1');
  };
};

it('reads the table of byte-level vocabularies', () => {
  const of = spelled({ type: 'ByteLevel' }, ['Ġa', 'Ċ', 'Ã', '']);
  expect([0, 1, 2, 3, 4].map(of)).toEqual([' a', '\n', '\xc3', null, null]);
});

it("reads SentencePiece's spaces and bytes", () => {
  const decoders = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ];
  for (const decoder of [{ type: 'Sequence', decoders }, { type: 'Metaspace' }])
    expect([0, 1, 2].map(spelled(decoder, ['▁a', '<0x0A>', 'é']))).toEqual([' a', '\n', '\xc3\xa9']);
});

it('takes added tokens as they are written, and special ones for nothing', () => {
  expect([7, 8].map(spelled({ type: 'ByteLevel' }, []))).toEqual([null, '<tool>']);
});

it('knows no bytes where tokens do not spell their text', () => {
  expect([0, 8].map(spelled({ type: 'WordPiece' }, ['##a']))).toEqual([null, '<tool>']);
});
