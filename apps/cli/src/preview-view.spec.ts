import { type PreviewedRow } from '@lowrank/contracts';
import { previewLines } from './preview-view';

const token = (text: string, learnt: boolean) => ({ id: 1, text, learnt });
const conversation = {
  tokens: [
    token('user: ', false),
    token('a', false),
    token(' yes', true),
    token('!', true),
    token('\n', false),
  ],
  tokenCount: 5,
  lossTokens: 2,
};
const row: PreviewedRow = { row: 3, line: 7, error: null, conversations: [conversation] };

describe('previewLines', () => {
  it('puts what is learnt between marks', () => {
    expect(previewLines(row, false)).toEqual(['Row 3, line 7: 5 tokens, 2 learnt.', 'user: a[[ yes!]]\n']);
  });

  it('names the answers of a preference, and what is not shown', () => {
    const long = { ...conversation, tokenCount: 9000 };
    const lines = previewLines({ ...row, conversations: [conversation, long] }, false);
    expect([lines[0], lines[2]]).toEqual([
      'Row 3, line 7, chosen: 5 tokens, 2 learnt.',
      'Row 3, line 7, rejected: 9,000 tokens, 2 learnt. The first 5 are shown.',
    ]);
  });

  it('says what is wrong', () => {
    const error = { line: 7, path: 'messages.1', message: 'is wrong' };
    expect(previewLines({ ...row, error, conversations: [] }, false)).toEqual([
      'Row 3, line 7: messages.1: is wrong',
    ]);
  });
});
