/*
 * MinHash and locality-sensitive hashing: Broder, "On the resemblance and containment of documents" (1997); Leskovec, Rajaraman, Ullman,
 * "Mining of Massive Datasets", chapter 3. The share of equal components of two signatures estimates the Jaccard similarity of their sets.
 */

const COMPONENTS = 64;
/** Signatures that agree in all components of a band are compared: with 16 of 4, pairs of similarity 0.8 are missed once in 4,000. */
const BANDS = 16;
const BAND = COMPONENTS / BANDS;
const WORDS = 5;

/** FNV-1a over UTF-16 units: 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** Mixes all bits of a number: the finalizer of MurmurHash3. */
function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

const seeds = Uint32Array.from({ length: COMPONENTS }, (_, i) => mix(Math.imul(i + 1, 0x9e3779b1)));

/** The signature of a text's stretches of five words. */
export function signatureOf(text: string): Uint32Array {
  const words = text.split(' ');
  const signature = new Uint32Array(COMPONENTS).fill(0xffffffff);
  for (let i = 0; i <= Math.max(0, words.length - WORDS); i += 1) {
    const shingle = hashOf(words.slice(i, i + WORDS).join(' '));
    for (let c = 0; c < COMPONENTS; c += 1) {
      const hash = mix(shingle ^ (seeds[c] as number));
      if (hash < (signature[c] as number)) signature[c] = hash;
    }
  }
  return signature;
}

export function similarity(a: Uint32Array, b: Uint32Array): number {
  let equal = 0;
  for (let c = 0; c < COMPONENTS; c += 1) if (a[c] === b[c]) equal += 1;
  return equal / COMPONENTS;
}

/** Finds the texts, among those that were added, that are about the same. */
export class SimilarTexts {
  private readonly bands = Array.from({ length: BANDS }, () => new Map<number, number>());
  private readonly signatures: Uint32Array[] = [];

  constructor(private readonly threshold: number) {}

  /** Number, in order of adding, of a text that is as similar as the threshold asks for; null when none is. */
  find(signature: Uint32Array): number | null {
    for (const [band, buckets] of this.bands.entries()) {
      const other = buckets.get(bandHash(signature, band));
      if (
        other !== undefined &&
        similarity(signature, this.signatures[other] as Uint32Array) >= this.threshold
      )
        return other;
    }
    return null;
  }

  /** A bucket keeps its first text: copies of it are not added. */
  add(signature: Uint32Array): void {
    for (const [band, buckets] of this.bands.entries()) {
      const hash = bandHash(signature, band);
      if (!buckets.has(hash)) buckets.set(hash, this.signatures.length);
    }
    this.signatures.push(signature);
  }
}

function bandHash(signature: Uint32Array, band: number): number {
  let hash = band;
  for (let c = band * BAND; c < (band + 1) * BAND; c += 1) hash = mix(hash ^ (signature[c] as number));
  return hash;
}
