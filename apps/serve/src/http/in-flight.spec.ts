import { InFlight } from './in-flight';

it('ends one whose client has left, and no other', () => {
  const inFlight = new InFlight();
  const [a, b] = [inFlight.begin('a'), inFlight.begin('b')];
  expect(() => inFlight.begin('a')).toThrow('already');
  expect([inFlight.leave('a'), inFlight.leave('c')]).toEqual([true, false]);
  expect([a.aborted, b.aborted]).toEqual([true, false]);
});

it('lets none begin while it drains, and resolves when the last has ended', async () => {
  const inFlight = new InFlight();
  inFlight.begin('a');
  let drained = false;
  const draining = inFlight.drain(60_000).then(() => (drained = true));
  expect(() => inFlight.begin('b')).toThrow('about to leave');
  await new Promise((resolve) => setImmediate(resolve));
  expect(drained).toBe(false);
  inFlight.end('a');
  await draining;
  await inFlight.drain(1);
});

it('breaks off what takes too long', async () => {
  const inFlight = new InFlight();
  const signal = inFlight.begin('a');
  signal.addEventListener('abort', () => inFlight.end('a'));
  await inFlight.drain(5);
  expect(signal.reason).toMatchObject({ code: 'server_draining' });
});
