import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Answers of transformers + PEFT + bitsandbytes; made by tools/oracle/fixtures.py, which documents what is where. */
export const fixtures = join(__dirname, 'fixtures');

const ARRAYS = { F32: Float32Array, F64: Float64Array, I32: Int32Array, U8: Uint8Array } as const;
type Values = Float32Array | Float64Array | Int32Array | Uint8Array;

/** Tensors of a fixture file by name. */
export class Fixture {
  private readonly tensors = new Map<string, Values>();

  constructor(name: string) {
    const bytes = readFileSync(join(fixtures, `${name}.safetensors`));
    const begin = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<
      string,
      { dtype: keyof typeof ARRAYS; data_offsets: [number, number] }
    >;
    for (const [tensor, { dtype, data_offsets: [from, end] = [0, 0] }] of Object.entries(header)) {
      if (tensor === '__metadata__') continue;
      const copy = new Uint8Array(bytes.subarray(begin + from, begin + end)).buffer; // aligned, unlike the file
      this.tensors.set(tensor, new ARRAYS[dtype](copy));
    }
  }

  names(): string[] {
    return [...this.tensors.keys()];
  }

  floats(name: string): Float32Array {
    return this.get(name, Float32Array);
  }
  doubles(name: string): Float64Array {
    return this.get(name, Float64Array);
  }
  ints(name: string): Int32Array {
    return this.get(name, Int32Array);
  }
  bytes(name: string): Uint8Array {
    return this.get(name, Uint8Array);
  }

  private get<T extends Values>(name: string, type: new (...args: never[]) => T): T {
    const values = this.tensors.get(name);
    if (!(values instanceof type)) throw new Error(`the fixture has no ${type.name} '${name}'`);
    return values;
  }
}

/** Settings of the fixtures' training. */
export const settings = JSON.parse(readFileSync(join(fixtures, 'settings.json'), 'utf8')) as {
  rank: number;
  alpha: number;
  steps: number;
  accumulation: number;
  learningRate: number;
  maxGradNorm: number;
};

export function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i] as number, b[i] as number];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / Math.sqrt(aa * bb);
}

/** ‖a - b‖ / ‖b‖. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    difference += ((a[i] as number) - (b[i] as number)) ** 2;
    size += (b[i] as number) ** 2;
  }
  return a.length === b.length ? Math.sqrt(difference / size) : Infinity;
}
