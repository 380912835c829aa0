import { idPrefixes, idSchema, type IdKind } from '@lowrank/contracts';
import { after, before, randomIds, systemClock } from './clock-and-ids';

describe('clock and ids', () => {
  it.each(Object.keys(idPrefixes) as IdKind[])('makes %s ids that the contract accepts', (kind) => {
    const ids = Array.from({ length: 100 }, () => randomIds.make(kind));
    expect(ids.every((id) => idSchema(kind).safeParse(id).success)).toBe(true);
    expect(new Set(ids).size).toBe(100);
  });

  it('tells UTC with milliseconds', () => {
    expect(systemClock.now()).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(before('2026-01-01T00:00:00.500Z', 1000)).toBe('2025-12-31T23:59:59.500Z');
    expect(after('2025-12-31T23:59:59.500Z', 1000)).toBe('2026-01-01T00:00:00.500Z');
  });
});
