import { type Together } from './sequences';

/**
 * Packs sequences into rows of at most `capacity` tokens: best-fit decreasing (each sequence, longest first, into the row that it
 * fills best). Returns indices of sequences by row. A sequence never crosses rows.
 */
export function packSequences(lengths: readonly number[], capacity: number): number[][] {
  const rows: number[][] = [];
  const rowsByRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  const order = lengths
    .map((_, i) => i)
    .sort((a, b) => (lengths[b] as number) - (lengths[a] as number) || a - b);
  for (const index of order) {
    const length = lengths[index] as number;
    let room = length;
    while (room < capacity && rowsByRoom[room]?.length === 0) room += 1;
    const row = rowsByRoom[room]?.pop();
    if (row === undefined) {
      rows.push([index]);
      rowsByRoom[capacity - length]?.push(rows.length - 1);
    } else {
      rows[row]?.push(index);
      rowsByRoom[room - length]?.push(row);
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
