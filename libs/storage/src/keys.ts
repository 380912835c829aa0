import { LowrankError } from '@lowrank/contracts';

const segment = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;

/** Refuses a key that is not made of plain segments: nothing that a file system or URL would read as something else. */
export function assertKey(key: string): void {
  if (key.length > 900 || !key.split('/').every((part) => segment.test(part)))
    throw new LowrankError('validation_failed', `${JSON.stringify(key.slice(0, 100))} is not an object key.`);
}

/** Refuses a prefix for a list that does not end in '/', and one whose segments no key has. */
export function assertPrefix(prefix: string): void {
  if (!prefix.endsWith('/'))
    throw new LowrankError('validation_failed', `The prefix ${JSON.stringify(prefix)} must end in '/'.`);
  assertKey(prefix.slice(0, -1));
}

/** The bytes of `range` that an object of `bytes` has; `end` is clipped to it. A range that starts outside or is empty is refused. */
export function clip(
  key: string,
  bytes: number,
  range: { start: number; end: number } | undefined,
): { start: number; end: number } {
  if (!range) return { start: 0, end: bytes };
  const { start, end } = range;
  if (
    !Number.isSafeInteger(start) ||
    !Number.isSafeInteger(end) ||
    start < 0 ||
    end <= start ||
    start >= bytes
  )
    throw new LowrankError(
      'validation_failed',
      `${key} has no bytes [${start}, ${end}): it is ${bytes} long.`,
    );
  return { start, end: Math.min(end, bytes) };
}
