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

/** A day, or a time of one, as an ISO time. */
export function time(text: string): string {
  const value = new Date(text);
  if (Number.isNaN(value.getTime())) throw new InvalidArgumentError('It must be a time such as 2026-11-01.');
  return value.toISOString();
}
