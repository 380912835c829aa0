import { LowrankError } from '@lowrank/contracts';
import { readLines } from '../lines';
import { rowOfCells, type SourceRow } from './source-row';

/** What separates cells, by preference where a header does not tell. */
const delimiters = [',', ';', '\t', '|'];

/** One record, line by line, as RFC 4180 has it; quotes inside a cell that is not quoted are text. */
class CsvRecord {
  readonly cells: string[] = [];
  private cell = '';
  private isQuoted = false;
  private size = 0;

  constructor(
    readonly line: number,
    private readonly delimiter: string,
  ) {}

  /** Characters so far. */
  get length(): number {
    return this.size;
  }

  /** Takes the record's next line; true when that ends it, else what is quoted goes on. Throws Error. */
  add(text: string): boolean {
    this.size += text.length + 1;
    for (let at = 0; ;) {
      if (this.isQuoted) {
        const quote = text.indexOf('"', at);
        if (quote < 0) {
          this.cell += `${text.slice(at)}\n`;
          return false;
        }
        this.cell += text.slice(at, quote);
        at = quote + 1;
        if (text[at] === '"') {
          this.cell += '"';
          at += 1;
          continue;
        }
        this.isQuoted = false;
        this.push(this.cell);
        if (at === text.length) return true;
        if (text[at] !== this.delimiter)
          throw new Error(
            `text follows the closing quote of cell ${this.cells.length}; double quotes inside a cell`,
          );
        at += 1;
      } else if (text[at] === '"') {
        this.isQuoted = true;
        at += 1;
      } else {
        const end = text.indexOf(this.delimiter, at);
        this.push(text.slice(at, end < 0 ? text.length : end));
        if (end < 0) return true;
        at = end + 1;
      }
    }
  }

  private push(cell: string): void {
    this.cells.push(cell);
    this.cell = '';
  }
}

/** The delimiter that makes most columns of a header. */
function delimiterOf(header: string): string {
  const columns = delimiters.map((delimiter) => {
    const record = new CsvRecord(1, delimiter);
    try {
      return record.add(header) ? record.cells.length : 0;
    } catch {
      return 0;
    }
  });
  return delimiters[columns.indexOf(Math.max(...columns))] as string;
}

function columnsOf({ line, cells }: CsvRecord): string[] {
  const names = cells.map((cell) => cell.trim());
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  const message = names.includes('')
    ? `column ${names.indexOf('') + 1} of the header has no name`
    : twice === undefined
      ? null
      : `two columns of the header are named '${twice.slice(0, 100)}'`;
  if (message !== null)
    throw new LowrankError('dataset_invalid', `line ${line}: ${message}`, [{ line, message }]);
  return names;
}

/**
 * The records of a CSV file in UTF-8, by the names of its header: `,`, `;`, tab or `|` between cells, told by the header; cells may be quoted
 * and then hold lines. What is wrong with a record is told at the line that it begins at. Throws dataset_invalid for a wrong header.
 */
export async function* readCsv(
  stream: AsyncIterable<Uint8Array>,
  maxLineBytes: number,
): AsyncGenerator<SourceRow> {
  let delimiter: string | null = null;
  let columns: string[] | null = null;
  let record: CsvRecord | null = null;
  const wrong = (line: number, message: string): SourceRow => ({ line, value: null, problem: { message } });

  for await (const { line, text, problem } of readLines(stream, maxLineBytes, { blank: true })) {
    if (text === null) {
      record = null;
      yield wrong(line, problem ?? 'cannot be read');
      continue;
    }
    if (record === null && text.trim() === '') continue;
    delimiter ??= delimiterOf(text);
    record ??= new CsvRecord(line, delimiter);
    const current: CsvRecord = record;
    try {
      if (!current.add(text)) {
        if (current.length > maxLineBytes)
          throw new Error(`a quote is not closed within ${maxLineBytes} characters`);
        continue;
      }
    } catch (error) {
      record = null;
      yield wrong(current.line, (error as Error).message);
      continue;
    }
    record = null;
    const { cells } = current;
    if (columns === null) columns = columnsOf(current);
    else if (cells.length !== columns.length)
      yield wrong(current.line, `has ${cells.length} cells, the header has ${columns.length}`);
    else yield rowOfCells(current.line, Object.fromEntries(columns.map((name, i) => [name, cells[i]])));
  }
  if (record !== null) yield wrong(record.line, 'a quote is never closed');
}
