import { Logprobs } from './logprobs';

const bytes: Record<number, number[]> = { 1: [0x61], 2: [0xe2, 0x82], 3: [0xac] };
const logprobs = new Logprobs({
  bytesOf: (id) => (bytes[id] ? Uint8Array.from(bytes[id]) : null),
  decode: ([id]) => `<${id}>`,
});
const draws = [
  { token: 1, logprob: -0.5, top: [{ token: 9, logprob: -0.25 }] },
  { token: 2, logprob: Number.NEGATIVE_INFINITY, top: [] },
];

it('tells of bytes that are no text, of special tokens, and of what cannot be', () => {
  expect(logprobs.chat(draws)).toEqual({
    refusal: null,
    content: [
      {
        ...{ token: 'a', logprob: -0.5, bytes: [0x61] },
        top_logprobs: [{ token: '<9>', logprob: -0.25, bytes: null }],
      },
      { token: '\\xe2\\x82', logprob: -9999, bytes: [0xe2, 0x82], top_logprobs: [] },
    ],
  });
});

it('has the token itself among the likeliest of a text completion', () => {
  expect(logprobs.text(draws, [4, 5])).toEqual({
    tokens: ['a', 'bytes:\\xe2\\x82'],
    token_logprobs: [-0.5, -9999],
    top_logprobs: [{ a: -0.5, '<9>': -0.25 }, { 'bytes:\\xe2\\x82': -9999 }],
    text_offset: [4, 5],
  });
});
