import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureSpeed } from './speed';

it('measures what a device does in a second', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lowrank-speed-'));
  try {
    const speed = await measureSpeed(1, folder);
    // Any machine does more than a hundred million, and none a thousand million million.
    expect(speed).toBeGreaterThan(1e8);
    expect(speed).toBeLessThan(1e15);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
