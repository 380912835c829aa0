import { type Together } from './sequences';

/** Indices of sequences, longest first, equals in their order. */
function longestFirst(lengths: readonly number[], capacity: number): number[] {
  const byLength: number[][] = Array.from({ length: capacity + 1 }, () => []);
  lengths.forEach((length, i) => byLength[length]?.push(i));
  return byLength.reverse().flat();
}

/** A set of numbers from 0 to `highest`, as bits in words of 32, the words that have any as bits of the next level, and so on. */
class Bits {
  private readonly levels: Int32Array[] = [];

  constructor(highest: number) {
    let count = highest + 1;
    do {
      count = Math.ceil(count / 32);
      this.levels.push(new Int32Array(count));
    } while (count > 1);
  }

  set(value: number, isIn: boolean): void {
    let at = value;
    for (const words of this.levels) {
      const word = at >>> 5;
      const before = words[word] as number;
      words[word] = isIn ? before | (1 << (at & 31)) : before & ~(1 << (at & 31));
      // The level above knows whether there is any.
      if (isIn ? before !== 0 : words[word] !== 0) return;
      at = word;
    }
  }

  /** The smallest of them that is at least `value`; -1: there is none. */
  next(value: number): number {
    let at = value;
    for (let level = 0; level < this.levels.length; level += 1) {
      const words = this.levels[level] as Int32Array;
      const word = at >>> 5;
      if (word >= words.length) return -1;
      const rest = (words[word] as number) & (-1 << (at & 31));
      if (rest !== 0) return this.lowestBelow(level, word * 32 + lowestBit(rest));
      at = word + 1;
    }
    return -1;
  }

  /** The smallest value under a bit of a level. */
  private lowestBelow(level: number, bit: number): number {
    let at = bit;
    for (let below = level - 1; below >= 0; below -= 1)
      at = at * 32 + lowestBit((this.levels[below] as Int32Array)[at] as number);
    return at;
  }
}

const lowestBit = (word: number): number => 31 - Math.clz32(word & -word);

/**
 * Packs sequences into rows of at most `capacity` tokens: best-fit decreasing (each sequence, longest first, into the row that it
 * fills best). Returns indices of sequences by row. A sequence never crosses rows.
 */
export function packSequences(lengths: readonly number[], capacity: number): number[][] {
  const rows: number[][] = [];
  const rowsByRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  const rooms = new Bits(capacity);
  const put = (row: number, room: number) => {
    rowsByRoom[room]?.push(row);
    rooms.set(room, true);
  };
  for (const index of longestFirst(lengths, capacity)) {
    const length = lengths[index] as number;
    const room = rooms.next(length);
    const rowsWithRoom = rowsByRoom[room];
    const row = rowsWithRoom?.pop();
    if (row === undefined) {
      rows.push([index]);
      put(rows.length - 1, capacity - length);
    } else {
      if (rowsWithRoom?.length === 0) rooms.set(room, false);
      rows[row]?.push(index);
      put(row, room - length);
    }
  }
  return rows;
}

/** The same for pairs, where sequences come in pairs: those of one lie side by side in a row. */
export function packTogether(lengths: readonly number[], capacity: number, together: Together): number[][] {
  if (together === 1) return packSequences(lengths, capacity);
  const pairs = Array.from(
    { length: lengths.length / 2 },
    (_, pair) => (lengths[2 * pair] as number) + (lengths[2 * pair + 1] as number),
  );
  return packSequences(pairs, capacity).map((row) => row.flatMap((pair) => [2 * pair, 2 * pair + 1]));
}
