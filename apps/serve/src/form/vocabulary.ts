import { freeCharacters, type Machine, type Position } from './machine';

/** Tokens by their bytes, as arrays: node 0 is the root, and each node has its first child and its next sibling, or 0. */
class TokenTrie {
  private readonly child: number[] = [0];
  private readonly sibling: number[] = [0];
  private readonly byte: number[] = [0];
  private readonly tokens: number[][] = [[]];

  add(token: number, bytes: Uint8Array): void {
    let at = 0;
    for (const byte of bytes) {
      let next = this.child[at] as number;
      while (next !== 0 && this.byte[next] !== byte) next = this.sibling[next] as number;
      if (next === 0) {
        next = this.child.push(0) - 1;
        this.sibling.push(this.child[at] as number);
        this.byte.push(byte);
        this.tokens.push([]);
        this.child[at] = next;
      }
      at = next;
    }
    this.tokens[at]?.push(token);
  }

  /** Sets the bits of all tokens that a machine takes from a position. */
  allow(machine: Machine, from: Position, mask: Uint32Array): void {
    const ways: [node: number, position: Position][] = [[0, from]];
    for (let way = ways.pop(); way !== undefined; way = ways.pop()) {
      const [node, position] = way;
      for (let next = this.child[node] as number; next !== 0; next = this.sibling[next] as number) {
        const then = machine.step(position, this.byte[next] as number);
        if (then === null) continue;
        for (const token of this.tokens[next] as number[]) setBit(mask, token);
        ways.push([next, then]);
      }
    }
  }
}

const setBit = (mask: Uint32Array, token: number): void => {
  mask[token >>> 5] = (mask[token >>> 5] as number) | (1 << (token & 31));
};

/** Characters of a token that goes anywhere within a string, the last maybe begun only; null: it does not. */
function plainCharacters(bytes: Uint8Array): number | null {
  let characters = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] as number;
    if (byte < 0x20 || byte === 0x22 || byte === 0x5c) return null;
    if ((byte & 0xc0) !== 0x80) characters += 1;
  }
  // Decoding in a stream throws on all that is no UTF-8, but for a character that is not complete yet.
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return null;
  }
  return characters;
}

/** The tokens of a model by what they write. */
export class Vocabulary {
  private readonly all = new TokenTrie();
  /** Those that are not plain. */
  private readonly others = new TokenTrie();
  /** [n] tokens of n characters or fewer that go anywhere within a string. Within one nearly all of a vocabulary does: no need to look. */
  private readonly plain: Uint32Array[] = [];
  private readonly words: number;

  /** `size`: of the model's logits. `stopIds` end an answer. */
  constructor(
    size: number,
    bytesOf: (id: number) => Uint8Array | null,
    private readonly stopIds: readonly number[],
  ) {
    this.words = Math.ceil(size / 32);
    const plain: number[][] = [];
    for (let token = 0; token < size; token += 1) {
      const bytes = bytesOf(token);
      if (bytes === null || bytes.length === 0 || stopIds.includes(token)) continue;
      this.all.add(token, bytes);
      const characters = plainCharacters(bytes);
      if (characters === null) this.others.add(token, bytes);
      else (plain[characters] ??= []).push(token);
    }
    let upTo = new Uint32Array(this.words);
    for (let characters = 0; characters < Math.max(1, plain.length); characters += 1) {
      upTo = upTo.slice();
      for (const token of plain[characters] ?? []) setBit(upTo, token);
      this.plain.push(upTo);
    }
  }

  /** Tokens that may come next: [⌈size / 32⌉], bit t mod 32 of word ⌊t / 32⌋. All zeros where there is none. */
  allowed(machine: Machine, position: Position): Uint32Array {
    const room = Math.max(0, ...position.frames.map(freeCharacters));
    const longest = this.plain.length - 1;
    const mask = (this.plain[room === 0 ? 0 : Math.min(room, longest)] as Uint32Array).slice();
    if (room === 0) mask.fill(0);
    // A plain token that is too long for the string may be something else where there is something else.
    const covered = room > 0 && (room >= longest || position.frames.length === 1);
    (covered ? this.others : this.all).allow(machine, position, mask);
    if (position.whole) for (const token of this.stopIds) setBit(mask, token);
    return mask;
  }
}
