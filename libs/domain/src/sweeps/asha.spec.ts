import { neededAt, rungAt, rungsOf } from './asha';
import { bestTrial } from './settle-sweep';

describe('rungs', () => {
  it('are at minimum · reduction^k, below the last step', () => {
    expect(rungsOf({ minimum: 0.1, reduction: 3 })).toEqual([0.1, 0.3, 0.9]);
    expect(rungsOf({ minimum: 1000, reduction: 10 })).toEqual([1000, 10_000, 100_000, 1_000_000]);
  });

  it('are found by the step that a trial was evaluated after', () => {
    const method = { minimum: 0.1, reduction: 3 };
    const rungs = (totalSteps: number) =>
      Array.from({ length: totalSteps }, (_, i) => rungAt(method, i + 1, totalSteps));
    // Rounded up; of two that fall on one step the higher; never the last step, after which there is nothing to save.
    expect(rungs(10)).toEqual([0, null, 1, null, null, null, null, null, 2, null]);
    expect(rungs(4)).toEqual([0, 1, null, null]);
    expect(rungs(2)).toEqual([1, null]);
    expect(rungs(1)).toEqual([null]);
    expect(rungAt({ minimum: 4, reduction: 2 }, 8, 100)).toBe(1);
    expect(rungAt({ minimum: 4, reduction: 2 }, 12, 100)).toBeNull();
  });
});

describe('neededAt', () => {
  it.each([
    [[3], 3],
    [[3, 2], 2],
    [[3, 2, 1, 4, 5], 1],
    [[3, 2, 1, 4, 5, 6], 2],
    [[6, 5, 4, 3, 2, 1, 9, 8, 7], 3],
    [[1, 1, 1], 1],
  ])('of the losses %j, the worst that goes on at reduction 3 is %d', (values, needed) => {
    expect(neededAt(values, 3, 'loss')).toBe(needed);
  });

  it('takes the highest accuracies', () => {
    expect(neededAt([0.1, 0.5, 0.3, 0.2], 2, 'accuracy')).toBe(0.3);
  });
});

describe('bestTrial', () => {
  const trial = (number: number, loss: number | null, accuracy: number | null = null) => ({
    number,
    result: loss === null ? null : { loss, accuracy },
  });

  it('is the one with the best result, of equal ones the first, and none without results', () => {
    expect(bestTrial([trial(1, null), trial(2, 3), trial(3, 2), trial(4, 2)], 'loss')).toBe(3);
    expect(bestTrial([trial(1, 1, 0.4), trial(2, 2, 0.6), trial(3, 3)], 'accuracy')).toBe(2);
    expect(bestTrial([trial(1, null)], 'loss')).toBeNull();
  });
});

/** Numbers in [0, 1) by mulberry32, a public-domain generator. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Curve {
  final: number;
  lossAt(step: number): number;
}

/** Learning curves that fall as a power of the step to floors of their own, with some noise, as sweeps see them. */
function curves(count: number, totalSteps: number, random: () => number): Curve[] {
  return Array.from({ length: count }, () => {
    const [floor, height, slope] = [1 + 2 * random(), 1 + random(), 0.3 + 0.4 * random()];
    const clean = (step: number) => floor + height * step ** -slope;
    return { final: clean(totalSteps), lossAt: (step) => clean(step) + 0.02 * (random() - 0.5) };
  });
}

/** Runs trials on some slots at once, each step taking its time, and resolves to the steps taken and the best of those that finished. */
function simulate(
  trials: Curve[],
  totalSteps: number,
  slots: number,
  reduction: number | null,
  random: () => number,
) {
  const method = { minimum: 1 / 27, reduction: reduction ?? 3 };
  const reported = new Map<number, number[]>();
  const waiting = [...trials];
  const running: { curve: Curve; step: number; at: number; pace: number }[] = [];
  const finished: Curve[] = [];
  let steps = 0;
  for (;;) {
    while (running.length < slots && waiting.length > 0)
      running.push({ curve: waiting.shift() as Curve, step: 0, at: 0, pace: 0.5 + random() });
    if (running.length === 0) break;
    const next = running.reduce((first, other) => (other.at < first.at ? other : first));
    next.step += 1;
    next.at += next.pace;
    steps += 1;
    const rung = reduction === null ? null : rungAt(method, next.step, totalSteps);
    let goesOn = next.step < totalSteps;
    if (!goesOn) finished.push(next.curve);
    if (rung !== null) {
      const loss = next.curve.lossAt(next.step);
      const losses = [...(reported.get(rung) ?? []), loss];
      reported.set(rung, losses);
      goesOn = loss <= neededAt(losses, method.reduction, 'loss');
    }
    if (!goesOn) running.splice(running.indexOf(next), 1);
  }
  return { steps, best: Math.min(...finished.map(({ final }) => final)) };
}

it('finds the best trial in a fraction of the steps, of which random search makes less', () => {
  const [runs, totalSteps, count] = [40, 81, 64];
  let [share, found, foundAtRandom] = [0, 0, 0];
  for (let seed = 1; seed <= runs; seed++) {
    const random = chance(seed);
    const trials = curves(count, totalSteps, random);
    const all = simulate(trials, totalSteps, 8, null, random);
    const asha = simulate(trials, totalSteps, 8, 3, random);
    expect(all.steps).toBe(count * totalSteps);
    share += asha.steps / all.steps / runs;
    found += Number(asha.best === all.best);
    const affordable = trials.slice(0, Math.ceil(asha.steps / totalSteps));
    foundAtRandom += Number(Math.min(...affordable.map(({ final }) => final)) === all.best);
  }
  expect(share).toBeLessThan(0.2);
  expect(found).toBeGreaterThanOrEqual(36);
  expect(foundAtRandom).toBeLessThanOrEqual(12);
});
