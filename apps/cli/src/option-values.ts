import { InvalidArgumentError } from 'commander';

// What options of numbers take. Errors: InvalidArgumentError, which commander shows with the option's name.

export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

/** From 0 up. */
export function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0)) throw new InvalidArgumentError('It must be a number from 0 up.');
  return value;
}

/** From 0 up. */
export function whole(text: string): number {
  const value = decimal(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}
