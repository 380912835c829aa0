import { type VersionDiff } from '@lowrank/contracts';
import { measureName } from './evaluation-view';
import { formatBytes } from './terminal';

const value = (one: unknown): string => {
  if (one === null) return '–';
  return typeof one === 'string' ? one : JSON.stringify(one);
};

/** Counts as they are, other numbers with four decimals. */
const figure = (n: number | null): string => {
  if (n === null) return '–';
  return Number.isInteger(n) ? n.toLocaleString('en') : n.toFixed(4);
};
const signed = (n: number | null): string => (n !== null && n > 0 ? `+${figure(n)}` : figure(n));

/** The parts of a comparison that have something to tell, as tables. */
export function diffTables({ from, to, source, recipe, metrics, evaluations, files }: VersionDiff) {
  const columns = [`${from.adapter}@v${from.number}`, `${to.adapter}@v${to.number}`];
  const fields = (diffs: VersionDiff['recipe']) =>
    diffs.map((diff) => [diff.path, value(diff.from), value(diff.to)]);
  const size = (content: VersionDiff['files'][number]['from']) => content && formatBytes(content.bytes);
  return [
    { title: 'Made from', head: ['', ...columns], rows: fields(source) },
    { title: 'Recipe', head: ['FIELD', ...columns], rows: fields(recipe) },
    {
      title: 'Metrics',
      head: ['METRIC', ...columns, 'CHANGE'],
      rows: metrics.map((one) => [one.name, figure(one.from), figure(one.to), signed(one.change)]),
    },
    {
      title: 'Evaluations',
      head: ['MEASURE', ...columns, 'CHANGE'],
      rows: evaluations.map((one) => [
        `${measureName(one.measure)} on ${one.dataset.filename}`,
        ...[figure(one.from), figure(one.to), signed(one.change)],
      ]),
    },
    {
      title: 'Files',
      head: ['FILE', ...columns, ''],
      rows: files.map((one) => [one.path, size(one.from) ?? '–', size(one.to) ?? '–', one.status]),
    },
  ].filter(({ rows }) => rows.length > 0);
}
