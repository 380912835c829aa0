import { type PreviewedConversation, type PreviewedRow } from '@lowrank/contracts';
import { paint } from './terminal';

/** Around what is learnt, where colours cannot tell. */
const marks = ['[[', ']]'] as const;

/** A conversation's text, what is learnt in green or between [[ and ]], the rest dim. */
export function markedText({ tokens }: PreviewedConversation, coloured: boolean): string {
  const stretches: { learnt: boolean; text: string }[] = [];
  for (const { text, learnt } of tokens) {
    const last = stretches.at(-1);
    if (last?.learnt === learnt) last.text += text;
    else stretches.push({ learnt, text });
  }
  return stretches
    .map(({ learnt, text }) => {
      if (coloured) return paint(learnt ? 'green' : 'dim', text);
      return learnt ? `${marks[0]}${text}${marks[1]}` : text;
    })
    .join('');
}

/** Lines that show a row. */
export function previewLines({ row, line, error, conversations }: PreviewedRow, coloured: boolean): string[] {
  const head = `Row ${row}, line ${line}`;
  if (error !== null) return [`${head}: ${error.path ? `${error.path}: ` : ''}${error.message}`];
  const names = conversations.length === 2 ? [', chosen', ', rejected'] : [''];
  return conversations.flatMap((conversation, i) => {
    const { tokens, tokenCount, lossTokens } = conversation;
    const cut =
      tokens.length < tokenCount ? ` The first ${tokens.length.toLocaleString('en')} are shown.` : '';
    return [
      paint(
        'bold',
        `${head}${names[i]}: ${tokenCount.toLocaleString('en')} tokens, ${lossTokens.toLocaleString('en')} learnt.${cut}`,
      ),
      markedText(conversation, coloured),
    ];
  });
}
