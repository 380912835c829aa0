import { type DatasetFormat, type PreviewedRow } from '@lowrank/contracts';
import { previewRows, selectRows } from './preview';
import { sampleBase, withTemplate } from './test/model-folders';
import { type ChatTokenizer, loadChatTokenizer } from './tokenizer';

let tokenizer: ChatTokenizer;
beforeAll(async () => void (tokenizer = await loadChatTokenizer(sampleBase)));

async function* stream(text: string) {
  yield Buffer.from(text);
}

async function preview(
  text: string,
  format: DatasetFormat,
  range = { row: 1, rows: 9 },
  using = tokenizer,
): Promise<PreviewedRow[]> {
  const { lines } = await selectRows(stream(text), range, 1000);
  return previewRows(lines, format, using);
}

/** The rendered text, with what is learnt in brackets. */
const marked = ({ conversations }: PreviewedRow): string[] =>
  conversations.map(({ tokens }) =>
    tokens
      .map(({ text, learnt }) => (learnt ? `[${text}]` : text))
      .join('')
      .replaceAll('][', ''),
  );

describe('selectRows', () => {
  it.each([
    [{ row: 1, rows: 1 }, [[1, 2]], true],
    [
      { row: 2, rows: 2 },
      [
        [2, 3],
        [3, 5],
      ],
      false,
    ],
    [{ row: 3, rows: 9 }, [[3, 5]], false],
    [{ row: 4, rows: 1 }, [], false],
  ])('takes %j by row and line', async (range, expected, more) => {
    const { lines, hasMore } = await selectRows(stream('\na\nb\n\nc\n'), range, 100);
    expect([lines.map(({ row, line }) => [row, line]), hasMore]).toEqual([expected, more]);
  });
});

describe('previewRows', () => {
  it('shows the text token by token, and which are learnt', async () => {
    const [row] = await preview('\n{"prompt": "a 🙂?", "completion": "한b"}\n', 'prompt-completion');
    expect(row).toMatchObject({ row: 1, line: 2, error: null });
    expect(marked(row as PreviewedRow)).toEqual([
      '<|bos|><|im_start|>user\na 🙂?<|im_end|>\n<|im_start|>assistant\n[한b<|im_end|>]\n',
    ]);
    const [conversation] = (row as PreviewedRow).conversations;
    expect(conversation?.tokenCount).toBe(conversation?.tokens.length);
    expect(conversation?.lossTokens).toBe(conversation?.tokens.filter(({ learnt }) => learnt).length);
  });

  it('shows both conversations of a preference', async () => {
    const [row] = await preview('{"prompt": "a", "chosen": "b", "rejected": "c"}', 'preference');
    expect(marked(row as PreviewedRow).map((text) => /\[.*\]/.exec(text)?.[0])).toEqual([
      '[b<|im_end|>]',
      '[c<|im_end|>]',
    ]);
  });

  it('says what is wrong with a row, with its line, and shows the others', async () => {
    const text = 'nothing\n{"prompt": 1}\n{"prompt": "a", "completion": "b"}\n';
    const picky = withTemplate(tokenizer, "{{ raise_exception('no') }}");
    expect(await preview(text, 'prompt-completion')).toMatchObject([
      { row: 1, error: { line: 1, message: expect.stringMatching(/not JSON/) }, conversations: [] },
      { row: 2, error: { line: 2, path: 'prompt' } },
      { row: 3, error: null },
    ]);
    expect(await preview(text, 'prompt-completion', { row: 3, rows: 1 }, picky)).toMatchObject([
      { row: 3, error: { line: 3, message: expect.stringMatching(/template fails: no/) } },
    ]);
  });

  it('shows the beginning of a very long one', async () => {
    const content = 'is a home '.repeat(5000);
    const line = JSON.stringify({ prompt: 'a', completion: content });
    const { lines } = await selectRows(stream(line), { row: 1, rows: 1 }, 1e6);
    const [conversation] = previewRows(lines, 'prompt-completion', tokenizer)[0]?.conversations ?? [];
    expect(conversation?.tokens).toHaveLength(8192);
    expect(conversation?.tokenCount).toBeGreaterThan(10_000);
  });
});
