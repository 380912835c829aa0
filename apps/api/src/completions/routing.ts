import { createHash } from 'node:crypto';

/** Requests that a server has at once before its load matters: what is affine is answered in one batch there. */
const least = 8;
/** How much more than its share a server may have. */
const slack = 1.25;

/** Servers in the order in which one key prefers them (rendezvous hashing, Thaler & Ravishankar 1998). */
export function ranked(urls: readonly string[], key: string): string[] {
  const weight = (url: string) => createHash('sha256').update(`${url}\n${key}`).digest('hex');
  return urls
    .map((url) => ({ url, weight: weight(url) }))
    .sort((a, b) => (a.weight < b.weight ? -1 : 1))
    .map(({ url }) => url);
}

/**
 * The servers to try for one key, in this order: as `ranked`, but those that have more than their share of all requests come after those
 * that have not (consistent hashing with bounded loads, Mirrokni, Thorup & Zadimoghaddam 2018), and those that were not reached last come
 * at the end. `load`: requests that a server is answering now.
 */
export function routed(
  urls: readonly string[],
  key: string,
  load: (url: string) => number,
  isDown: (url: string) => boolean = () => false,
): string[] {
  const up = urls.filter((url) => !isDown(url));
  const total = up.reduce((sum, url) => sum + load(url), 1);
  const share = Math.max(least, Math.ceil((slack * total) / Math.max(1, up.length)));
  const rank = (url: string) => (isDown(url) ? 2 : load(url) >= share ? 1 : 0);
  return ranked(urls, key)
    .map((url) => ({ url, rank: rank(url) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ url }) => url);
}
