/** Most numbers that a range stands for. */
const longestRange = 4096;

/** Names of modules, or the one word or pattern that says it all: one name alone that is no layer's is a word of its own, such as all-linear. */
export function targetsOf(text: string): string | string[] {
  if (text.trim() === '') return [];
  if (!text.includes(','))
    return text.trim() === 'all-linear' || !/^\w+$/.test(text.trim()) ? text : [text.trim()];
  return text.split(',').map((name) => name.trim());
}

/** Numbers with commas between, and ranges such as 4-7. What is none stays text, for the server to refuse by its place. */
export const numbersOf = (text: string): (number | string)[] =>
  parts(text, ',').flatMap((part) => {
    const [, first, last] = /^(\d+)\s*[-–]\s*(\d+)$/.exec(part) ?? [];
    const [from, length] = [Number(first), Number(last) - Number(first) + 1];
    if (first !== undefined && length >= 1 && length <= longestRange)
      return Array.from({ length }, (_, i) => from + i);
    return [Number.isFinite(Number(part)) ? Number(part) : part];
  });

/** Names with commas between. */
export const namesOf = (text: string): string[] => parts(text, ',');

/** Lines that say something. */
export const linesOf = (text: string): string[] => parts(text, '\n');

const parts = (text: string, separator: string): string[] =>
  text
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
