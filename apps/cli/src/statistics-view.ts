import { type DatasetStatistics, type DuplicateReport } from '@lowrank/contracts';
import { formatTable } from './terminal';

const barWidth = 40;
const count = (number: number): string => number.toLocaleString('en');

function copies(title: string, { rows, groups }: DuplicateReport['exact'], where: string): string[] {
  const shown = groups.slice(0, 5).map(({ line, copies: of }) => `  line ${line}: ${where} ${of.join(', ')}`);
  return [`${title}: ${count(rows)}`, ...shown];
}

/** Lines that show what is known of a dataset. */
export function statisticsLines({ baseModel, lengths, duplicates }: DatasetStatistics): string[] {
  const lines: string[] = [];
  if (lengths !== null) {
    const { percentiles: at, tooLong } = lengths;
    const most = Math.max(1, ...lengths.histogram.map(({ conversations }) => conversations));
    const rows = lengths.histogram.map(({ from, to, conversations }) => [
      `${count(from)}–${count(to - 1)}`,
      count(conversations),
      '#'.repeat(Math.ceil((barWidth * conversations) / most)),
    ]);
    lines.push(
      `${count(lengths.conversations)} conversations, ${count(lengths.tokens)} tokens of ${baseModel}, ${count(lengths.lossTokens)} learnt.`,
      `Tokens each: ${count(at.p0)} to ${count(at.p100)}, mean ${lengths.mean.toFixed(1)}, median ${count(at.p50)}, 90 % ${count(at.p90)}, 95 % ${count(at.p95)}, 99 % ${count(at.p99)}.`,
      `Longer than ${count(tooLong.sequenceLength)} tokens: ${count(tooLong.conversations)}.`,
      '',
      ...formatTable(['tokens', 'conversations', ''], rows),
    );
  }
  if (duplicates !== null) {
    const { exact, near, nearOf, rows, overlap } = duplicates;
    const among = nearOf < rows ? ` among the first ${count(nearOf)} rows` : '';
    lines.push(
      '',
      ...copies('Copies of earlier rows', exact, 'again in lines'),
      ...copies(`Nearly the same as earlier rows${among}`, near, 'nearly again in lines'),
    );
    if (overlap !== null)
      lines.push(
        ...copies(
          `Rows of the other dataset that are here too, of ${count(overlap.rows)}`,
          overlap.exact,
          'there in lines',
        ),
        ...copies('Rows of the other dataset that are nearly here', overlap.near, 'there in lines'),
      );
  }
  return lines;
}
