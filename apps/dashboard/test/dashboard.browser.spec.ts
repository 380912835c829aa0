import { hasChromium, chromiumPath, launch } from './browser';
import { runJourneys } from './journeys/runs';
import { accountJourneys } from './journeys/account';
import { adminJourneys } from './journeys/admin';
import { catalogJourneys } from './journeys/catalog';
import { controlJourneys } from './journeys/control';
import { datasetJourneys } from './journeys/datasets';
import { evaluationJourneys } from './journeys/evaluations';
import { signInJourneys } from './journeys/sign-in';
import { webhookJourneys } from './journeys/webhooks';
import { Stack } from './stack';
import { type World } from './world';

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
  describe('runs', () => runJourneys(world));
  describe('control', () => controlJourneys(world));
  describe('catalog', () => catalogJourneys(world));
  describe('evaluations', () => evaluationJourneys(world));
  describe('datasets', () => datasetJourneys(world));
  describe('webhooks', () => webhookJourneys(world));
  describe('account', () => accountJourneys(world));
  describe('admin', () => adminJourneys(world));
});
