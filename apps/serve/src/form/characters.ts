/* Sets of characters, as ranges in order that neither overlap nor touch. */

export type Range = readonly [low: number, high: number];
export type Characters = readonly Range[];

const one = (text: string): number => text.codePointAt(0) as number;

/** What a string of JSON can have: no halves of characters, and of control characters those that have a short escape. */
export const all: Characters = [
  [0x08, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0xd7ff],
  [0xe000, 0x10ffff],
];

export function union(...sets: readonly Characters[]): Characters {
  const ranges = sets.flat().toSorted((a, b) => a[0] - b[0]);
  const merged: [number, number][] = [];
  for (const [low, high] of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else merged.push([low, high]);
  }
  return merged;
}

export const intersection = (a: Characters, b: Characters): Characters =>
  a.flatMap(([low, high]) =>
    b.flatMap(([from, to]): Range[] =>
      from <= high && to >= low ? [[Math.max(low, from), Math.min(high, to)]] : [],
    ),
  );

/** Those of `all` that are not in a set. */
export function others(set: Characters): Characters {
  const gaps: Range[] = [];
  let next = 0;
  for (const [low, high] of union(set)) {
    if (low > next) gaps.push([next, low - 1]);
    next = high + 1;
  }
  gaps.push([next, 0x10ffff]);
  return intersection(all, gaps);
}

export const digits: Characters = [[one('0'), one('9')]];
export const wordCharacters: Characters = union(
  digits,
  [[one('A'), one('Z')]],
  [[one('_'), one('_')]],
  [[one('a'), one('z')]],
);
/** White space and ends of lines (ECMA-262, 12.2 and 12.3). */
export const spaces: Characters = union(
  [[0x09, 0x0d]],
  ...[0x20, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff].map((point): Characters => [
    [point, point],
  ]),
  [[0x2000, 0x200a]],
);
/** What a dot does not mean. */
export const lineEnds: Characters = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
