import { decayedSeconds, hourlySeconds, monthStart, usageDecaySeconds, usageHalfLifeMs } from './usage';

describe('hourlySeconds', () => {
  it('splits a time that spans hours and months', () => {
    expect(hourlySeconds('2026-01-31T22:59:30.000Z', '2026-02-01T00:00:10.500Z')).toEqual([
      { hour: '2026-01-31T22:00:00.000Z', seconds: 30 },
      { hour: '2026-01-31T23:00:00.000Z', seconds: 3600 },
      { hour: '2026-02-01T00:00:00.000Z', seconds: 10.5 },
    ]);
  });

  it.each(['2026-01-01T01:00:00.000Z', '2026-01-01T00:59:00.000Z'])('of no time until %s is nothing', (to) =>
    expect(hourlySeconds('2026-01-01T01:00:00.000Z', to)).toEqual([]),
  );
});

it('monthStart is the first instant of the month', () =>
  expect(monthStart('2026-02-28T23:59:59.999Z')).toBe('2026-02-01T00:00:00.000Z'));

describe('decayedSeconds', () => {
  it('counts the present in full and the distant past hardly', () => {
    expect(decayedSeconds(0, 1000)).toBeCloseTo(1, 3);
    expect(decayedSeconds(0, 1000 * usageHalfLifeMs)).toBeCloseTo(usageDecaySeconds, 3);
    expect(decayedSeconds(0, usageHalfLifeMs)).toBeCloseTo(usageDecaySeconds / 2, 6);
    expect(decayedSeconds(5, 0)).toBe(0);
  });
});
