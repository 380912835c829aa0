import { createHash } from 'node:crypto';

/**
 * Which pages of a cache are free, which are in use and how often, and which hold the beginning of a prompt under a name. Pages with
 * names stay when nobody uses them, until others need the room: those unused for longest go first.
 */
export class Pages {
  private readonly free: number[];
  private readonly users: Uint32Array;
  private readonly names = new Map<number, string>();
  private readonly byName = new Map<string, number>();
  /** Pages with names that nobody uses, the longest unused first. */
  private readonly idle = new Set<number>();
  /** Of those with names, the ones that a text was read again for. */
  private readonly again = new Set<number>();

  constructor(count: number) {
    this.free = Array.from({ length: count }, (_, i) => count - 1 - i);
    this.users = new Uint32Array(count);
  }

  /** Pages that can be taken. */
  get left(): number {
    return this.free.length + this.idle.size;
  }

  /** Takes so many, or none where there are not enough. */
  take(count: number): number[] | null {
    if (count > this.left) return null;
    return Array.from({ length: count }, () => {
      const page = this.free.pop() ?? this.forgetOldest();
      this.users[page] = 1;
      return page;
    });
  }

  /** Takes the pages of these names, one after the other, up to the first that is not there. */
  share(names: readonly string[]): number[] {
    const pages: number[] = [];
    for (const name of names) {
      const page = this.byName.get(name);
      if (page === undefined) break;
      this.idle.delete(page);
      (this.users[page] as number) += 1;
      pages.push(page);
    }
    return pages;
  }

  /** How many of these a text was read again for. */
  countAgain(pages: readonly number[]): number {
    return pages.filter((page) => this.again.has(page)).length;
  }

  /** From now on the page can be shared by this name, unless another has it. What it holds does not change any more. `again`: a text was read again for it. */
  name(page: number, name: string, again = false): void {
    if (this.byName.has(name) || this.names.has(page)) return;
    if (again) this.again.add(page);
    this.byName.set(name, page);
    this.names.set(page, name);
  }

  /** Ends one use of each. Of a prompt, later pages go before earlier ones, without which nobody finds them. */
  give(pages: readonly number[]): void {
    for (const page of pages.toReversed()) {
      const users = (this.users[page] as number) - 1;
      this.users[page] = users;
      if (users > 0) continue;
      if (this.names.has(page)) this.idle.add(page);
      else this.free.push(page);
    }
  }

  private forgetOldest(): number {
    const [page] = this.idle as Iterable<number> as [number];
    this.idle.delete(page);
    this.again.delete(page);
    this.byName.delete(this.names.get(page) as string);
    this.names.delete(page);
    return page;
  }
}

/**
 * Names of the whole pages of a prompt: each depends on `owner` and on all tokens up to the page's end, so that who has the name has the
 * bytes. SHA-256, because a name that two beginnings shared would answer one with the other.
 */
export function pageNames(owner: string, tokens: Int32Array, pageTokens: number): string[] {
  const names: string[] = [];
  let name = owner;
  for (let end = pageTokens; end <= tokens.length; end += pageTokens) {
    const page = tokens.slice(end - pageTokens, end);
    name = createHash('sha256').update(name).update(page).digest('base64');
    names.push(name);
  }
  return names;
}
