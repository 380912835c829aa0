import { axisOf, matching, type Run } from './runs';

const run = (parameters: Record<string, unknown>, more: Partial<Run> = {}): Run => ({
  ...{ id: 'job_a', name: 'Trial 1', state: 'succeeded', parameters, loss: 1, accuracy: null },
  ...{ step: 1, totalSteps: 1, version: null },
  ...more,
});

describe('axisOf', () => {
  const axis = (values: unknown[]) => {
    const runs = values.map((value) => run({ x: value }));
    const made = axisOf('x', runs, ({ parameters }) => parameters.x, String);
    return { places: runs.map(made.at), ticks: made.ticks.map(({ text }) => text) };
  };

  it('places numbers by size, and by ratio when they span more than a hundredfold', () => {
    expect(axis([8, 16, 24])).toEqual({ places: [0, 0.5, 1], ticks: ['8', '24'] });
    const { places } = axis([1e-5, 1e-4, 1e-2, null]);
    expect(places[1]).toBeCloseTo(1 / 3);
    expect(places[3]).toBeNull();
  });

  it('places words evenly, and one value in the middle', () => {
    expect(axis(['linear', 'cosine', 'cosine'])).toEqual({ places: [1, 0, 0], ticks: ['cosine', 'linear'] });
    expect(axis([true, 7]).places).toEqual([1, 0]);
    expect(axis([3, 3]).places).toEqual([0.5, 0.5]);
  });
});

it('filters by state and by any text', () => {
  const runs = [run({ 'lora.rank': 8 }), run({ 'lora.rank': 16 }, { state: 'failed' })];
  expect(matching(runs, { state: 'failed' })).toEqual([runs[1]]);
  expect(matching(runs, { text: 'RANK":8' })).toEqual([runs[0]]);
  expect(matching(runs, {})).toEqual(runs);
});
