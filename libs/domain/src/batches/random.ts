// Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), the generator that the kernel library uses
// too: random numbers are a function of key and counter, so a resumed run needs no generator state.

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the product of two unsigned 32-bit numbers. */
function highProduct(a: number, b: number): number {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + ((al * bl) >>> 16);
  return (ah * bh + Math.floor(middle / 65536) + ((middle & 0xffff) + al * bh) / 65536) >>> 0;
}

export type Block = [number, number, number, number];

/** Four random 32-bit numbers for a counter of four and a key of two. */
export function philox(counter: Block, key: [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round += 1) {
    const h0 = highProduct(M0, c0);
    const l0 = Math.imul(M0, c0) >>> 0;
    const h1 = highProduct(M1, c2);
    const l1 = Math.imul(M1, c2) >>> 0;
    [c0, c1, c2, c3] = [(h1 ^ c1 ^ k0) >>> 0, l1, (h0 ^ c3 ^ k1) >>> 0, l0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** What a stream of random numbers is for: equal seeds give unrelated numbers in different streams. */
export enum Stream {
  Split = 1,
  Shuffle = 2,
  Dropout = 3,
  Prune = 4,
}

/** `seed` is a recipe's: a whole number from 0 to 2^53 − 1. */
export function keyOf(seed: number): [number, number] {
  return [seed % 2 ** 32, Math.floor(seed / 2 ** 32)];
}

/** Indices 0 … n − 1 in an order that seed, stream and round decide (Fisher and Yates, unbiased draws). */
export function permutation(n: number, seed: number, stream: Stream, round: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const key = keyOf(seed);
  let counter = 0;
  let block: number[] = [];
  const next = (): number => {
    if (block.length === 0) {
      block = philox([counter, 0, round, stream], key);
      counter += 1;
    }
    return block.pop() as number;
  };
  const below = (bound: number): number => {
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let value = next();
    while (value >= limit) value = next();
    return value % bound;
  };
  for (let i = n - 1; i > 0; i -= 1) {
    const j = below(i + 1);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** Seed of the dropout masks of one micro-batch. */
export function dropoutSeed(seed: number, step: number, micro: number): bigint {
  const [low, high] = philox([step, micro, 0, Stream.Dropout], keyOf(seed));
  return (BigInt(high) << 32n) | BigInt(low);
}
