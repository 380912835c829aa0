const tails = new Map<string, Promise<unknown>>();

/**
 * Runs `work` when all work begun before under the same key has ended, in this process. Of jobs that need the same file in a cache the
 * first makes it so, and the others find it.
 */
export function inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
  const done = (tails.get(key) ?? Promise.resolve()).then(work);
  const tail = done
    .catch(() => undefined)
    .then(() => {
      if (tails.get(key) === tail) tails.delete(key);
    });
  tails.set(key, tail);
  return done;
}
