import { LowrankError } from '@lowrank/contracts';
import { combineMethodSchema, type CombineSettings } from '@lowrank/contracts';
import { combine } from './combine';
import { type Pair, type Pairs } from './pairs';

const [inputs, outputs] = [5, 7];
const numbers = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(seed * 3.1 + i * i + i));
const pair = (rank: number, seed: number, scale = 2): Pair => ({
  ...{ rank, scale, inputs, outputs },
  a: numbers(rank * inputs, seed),
  b: numbers(outputs * rank, seed + 0.5),
});
const settings = (overrides: Partial<CombineSettings>): CombineSettings => ({
  ...{ method: 'linear', weights: [0.75, -0.5], rank: null, density: 0.6, majoritySign: 'total', seed: 1 },
  ...overrides,
});

/** Σ wᵢ · sᵢ · Bᵢ · Aᵢ */
function product(parts: readonly Pair[], weights: readonly number[]): number[] {
  const sum = new Array<number>(outputs * inputs).fill(0);
  parts.forEach(({ a, b, rank, scale }, p) => {
    for (let row = 0; row < outputs; row += 1)
      for (let col = 0; col < inputs; col += 1)
        for (let i = 0; i < rank; i += 1)
          (sum[row * inputs + col] as number) +=
            (weights[p] as number) * scale * (b[row * rank + i] as number) * (a[i * inputs + col] as number);
  });
  return sum;
}
const distance = (a: readonly number[], b: readonly number[]): number =>
  Math.hypot(...a.map((value, i) => value - (b[i] as number)));
const of = (pairs: Pairs, module: string): Pair => pairs.get(module) as Pair;

describe('combine', () => {
  const [first, second] = [pair(2, 1), pair(3, 2, 0.5)];

  it.each(['cat', 'svd'] as const)('adds what adapters of any ranks add: %s', (method) => {
    const made = of(
      combine([new Map([['q', first]]), new Map([['q', second]])], settings({ method, rank: 5 })),
      'q',
    );
    expect(made).toMatchObject({ rank: 5, scale: 1, inputs, outputs });
    expect(distance(product([made], [1]), product([first, second], [0.75, -0.5]))).toBeLessThan(1e-5);
  });

  it('gives svd the highest rank of the adapters, and an error that a higher one makes smaller', () => {
    const adapters = [new Map([['q', first]]), new Map([['q', second]])];
    const wanted = product([first, second], [0.75, -0.5]);
    const errors = [1, 2, null, 4, 5].map((rank) => {
      const made = of(combine(adapters, settings({ method: 'svd', rank })), 'q');
      expect(made.rank).toBe(rank ?? 3);
      return distance(product([made], [1]), wanted);
    });
    expect([...errors].sort((a, b) => b - a)).toEqual(errors);
  });

  it('leaves one adapter as it is, whatever the method, when nothing is left out', () => {
    for (const method of combineMethodSchema.options) {
      const made = of(
        combine([new Map([['q', first]])], settings({ method, weights: [1], density: 1 })),
        'q',
      );
      expect(distance(product([made], [1]), product([first], [1]))).toBeLessThan(1e-5);
    }
  });

  it('turns the sign of a product with the sign of its weight', () => {
    const made = of(combine([new Map([['q', first]])], settings({ weights: [-1] })), 'q');
    expect(distance(product([made], [1]), product([first], [-1]))).toBeLessThan(1e-5);
  });

  it('makes a module of the adapters that have it, and gives all the same rank', () => {
    const made = combine([new Map([['q', first]]), new Map([['v', second]])], settings({ method: 'cat' }));
    expect([...made].map(([module, { rank }]) => [module, rank])).toEqual([
      ['q', 3],
      ['v', 3],
    ]);
    expect(distance(product([of(made, 'q')], [1]), product([first], [0.75]))).toBeLessThan(1e-5);
    expect(distance(product([of(made, 'v')], [1]), product([second], [-0.5]))).toBeLessThan(1e-5);
  });

  it.each([
    ['weights', 'need as many weights', settings({ weights: [1] }), second],
    [
      'method',
      'linear needs adapters of one rank; q has 2 and 3. cat and svd take any',
      settings({}),
      second,
    ],
    [
      'adapters',
      'q is 7 × 5 in one and 7 × 4 in another',
      settings({ method: 'cat' }),
      { ...second, inputs: 4 },
    ],
  ])('says what is wrong with %s', (path, message, how, other) => {
    const make = () => combine([new Map([['q', first]]), new Map([['q', other]])], how);
    expect(make).toThrow(LowrankError);
    expect(make).toThrow(message);
    try {
      make();
    } catch (error) {
      expect((error as LowrankError).details).toMatchObject([{ path }]);
    }
  });
});
