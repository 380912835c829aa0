import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { measureSpeed } from './speed';

const leftBehind = () => readdirSync(tmpdir()).filter((name) => name.startsWith('lowrank-speed-'));

it('measures what a device does in a second, and leaves nothing behind', async () => {
  const before = leftBehind();
  // Any machine does more than a hundred million, and none a thousand million million.
  const speed = await measureSpeed(1);
  expect(speed).toBeGreaterThan(1e8);
  expect(speed).toBeLessThan(1e15);
  expect(leftBehind()).toEqual(before);
});
