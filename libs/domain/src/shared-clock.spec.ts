import { SharedClock } from './shared-clock';

describe('shared clock', () => {
  const start = Date.parse('2026-01-01T00:00:00.000Z');
  /** A clock on a machine that is `behindMs` behind Postgres, which takes `roundTripMs` to answer. */
  const onMachine = (behindMs: number, roundTripMs: number) => {
    const world = { time: start, behindMs, roundTripMs };
    const ask = async () => {
      world.time += world.roundTripMs / 2;
      const answer = new Date(world.time).toISOString();
      world.time += world.roundTripMs / 2;
      return answer;
    };
    const clock = new SharedClock(ask, () => world.time - world.behindMs);
    return { world, clock, error: () => Date.parse(clock.now()) - world.time };
  };

  it.each([60_000, -60_000, 3_600_000])(
    'follows Postgres on a machine that is %d ms behind',
    async (behind) => {
      const { clock, error } = onMachine(behind, 4);
      expect(error()).toBe(-behind);
      await clock.adjust();
      expect(Math.abs(error())).toBeLessThanOrEqual(2);
    },
  );

  it('leaves a clock alone that is right but for moments, so that its times ascend', async () => {
    const { clock, error } = onMachine(200, 4);
    await clock.adjust();
    expect(error()).toBe(-200);
  });

  it('does not trust a slow answer, and takes the next quick one', async () => {
    const { world, clock, error } = onMachine(10_000, 5000);
    await clock.adjust();
    expect(error()).toBe(-10_000);
    world.roundTripMs = 10;
    await clock.adjust();
    expect(error()).toBe(0);
  });

  it('notices when the machine is set right', async () => {
    const { world, clock, error } = onMachine(10_000, 4);
    await clock.adjust();
    world.behindMs = 0;
    await clock.adjust();
    expect(error()).toBe(0);
  });

  it('passes on that Postgres is away', async () => {
    const clock = new SharedClock(() => Promise.reject(new Error('away')));
    await expect(clock.adjust()).rejects.toThrow('away');
  });
});
