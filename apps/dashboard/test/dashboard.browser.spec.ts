import { type Browser } from 'playwright-core';
import { hasChromium, chromiumPath, launch } from './browser';
import { signInJourneys } from './journeys/sign-in';
import { Stack } from './stack';

/** What journeys are made in: one stack and one browser for all, since both take seconds to start. */
export interface World {
  stack: Stack;
  browser: Browser;
}

if (!hasChromium)
  process.stderr.write(
    `No Chromium at ${chromiumPath}: the tests of the dashboard in a browser are skipped (apt-get install chromium).\n`,
  );

(hasChromium ? describe : describe.skip)('the dashboard in Chromium', () => {
  const world = {} as World;
  beforeAll(async () => {
    [world.stack, world.browser] = await Promise.all([Stack.start(), launch()]);
  }, 120_000);
  afterAll(async () => {
    await world.browser?.close();
    await world.stack?.stop();
  }, 60_000);

  describe('sign in', () => signInJourneys(world));
});
