import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Writes a line for people or pipes to read. */
export function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** Writes a line that is no part of the result: notes, progress. */
export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Whether what is printed may be in colour. */
export const isColoured = (): boolean => process.stdout.isTTY && !process.env.NO_COLOR;

/** Styled text where the output is a terminal and NO_COLOR is not set, else the text itself. */
export function paint(style: Style, text: string): string {
  return isColoured() ? styleText(style, text) : text;
}

/** A head and rows as lines, in columns as wide as their widest cell; cells must not be styled. */
export function formatTable(head: string[], rows: string[][]): string[] {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return [line(head), ...rows.map(line)];
}

/** Prints such a table. */
export function printTable(head: string[], rows: string[][]): void {
  const [first = '', ...rest] = formatTable(head, rows);
  print(paint('bold', first));
  for (const line of rest) print(line);
}

/** `1.5 MB`: decimal units, three significant figures. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** `7 s`, `3 min 20 s`, `2 h 5 min`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** How long ago an ISO time was, in the largest unit. */
export function formatAge(time: string): string {
  const seconds = (Date.now() - Date.parse(time)) / 1000;
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}
