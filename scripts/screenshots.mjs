// Takes the pictures of the dashboard under docs/images anew: on a whole Lowrank of its own, with the sample model really trained, swept and
// asked, in Chromium. Build first. Run: npm run screenshots. Some minutes. Look at each of them before it is committed.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import startRun from '../libs/testing/jest/global-setup.mjs';
import endRun from '../libs/testing/jest/global-teardown.mjs';

const require = createRequire(import.meta.url);
require('../tools/typescript.cjs');
const { launch, signInWithKey, visit } = require('../apps/dashboard/test/browser.ts');
const { Stack } = require('../apps/dashboard/test/stack.ts');

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const tell = (text) => process.stdout.write(`${text}\n`);

await startRun();
const stack = await Stack.start();
const browser = await launch();
try {
  const made = await furnish();
  await photograph(made);
} finally {
  await browser.close();
  await stack.stop();
  await endRun();
}

/** What there is to see: an adapter of two versions with an alias, a sweep, and a run that goes on. */
async function furnish() {
  await stack.importSample();
  const { id: dataset } = await stack.uploadSample();
  const recipe = JSON.parse(await readFile(at('samples/recipe.json'), 'utf8'));
  const request = { baseModel: 'sample', dataset, adapter: 'sailor' };
  tell('training the sample …');
  const first = await stack.submit({ ...request, recipe: { ...recipe, evaluation: { everySteps: 20 } } });
  await stack.untilSucceeded(first.id);
  const second = await stack.submit({
    ...{ ...request, initFrom: 'sailor@v1' },
    recipe: { ...recipe, training: { ...recipe.training, epochs: 1 } },
  });
  await stack.untilSucceeded(second.id);
  await stack.call('PUT', '/api/v1/adapters/sailor/aliases/prod', { version: 'v1' });
  await stack.call('PATCH', '/api/v1/adapters/sailor', {
    description: 'Answers as a sailor would, and keeps a log.',
    tags: ['sample', 'style'],
  });
  tell('sweeping …');
  const sweep = await stack.call('POST', '/api/v1/sweeps', {
    ...{ ...request, adapter: 'sailor-sweep' },
    recipe: { ...recipe, training: { ...recipe.training, epochs: undefined, steps: 30 } },
    space: {
      'optimizer.learningRate': { values: [0.0005, 0.002, 0.008] },
      'lora.rank': { values: [4, 16] },
    },
    method: { type: 'grid' },
  });
  while ((await stack.call('GET', `/api/v1/sweeps/${sweep.id}`)).state === 'running') await sleep(1000);
  return { dataset, run: first.id, sweep: sweep.id, recipe, request };
}

async function photograph({ dataset, run, sweep, recipe, request }) {
  const wide = await visit(browser, stack);
  const { page } = wide;
  await signInWithKey(page, stack.key);
  /** Of what is in the window, which is of one size, once nothing loads any more. */
  const shoot = async (from, name) => {
    await from.locator('[role=status][aria-label^=Loading]').first().waitFor({ state: 'detached' });
    await from.locator('.mantine-Skeleton-root').first().waitFor({ state: 'detached' });
    // Notifications and the pointer are no part of a page.
    await from.mouse.move(0, 0);
    await from.evaluate('scrollTo(0, 0)');
    await from.locator('.mantine-Notification-root').first().waitFor({ state: 'detached' });
    await from.evaluate('document.fonts.ready.then(() => undefined)');
    await from.screenshot({ path: at(`docs/images/${name}.png`) });
    tell(`docs/images/${name}.png`);
  };

  await page.goto(`/jobs/${run}?smooth=0.6`);
  await page.locator('.chart canvas').nth(3).waitFor();
  await shoot(page, 'run');

  await page.goto(`/jobs/new?dataset=${dataset}`);
  await page.locator('mark.learnt').first().waitFor();
  await page.getByPlaceholder('support-tone').fill('sailor');
  await page.getByRole('rowheader', { name: 'Steps' }).waitFor();
  await page.getByRole('tab', { name: 'curl' }).waitFor();
  await shoot(page, 'new-job');

  await page.goto(`/compare?sweep=${sweep}`);
  await page.locator('.chart canvas').first().waitFor();
  await shoot(page, 'compare');

  await page.goto('/catalog/sailor?version=v2&against=v1');
  await page.getByRole('table', { name: 'Results that differ' }).waitFor();
  await shoot(page, 'catalog-adapter');

  await page.goto('/catalog/sailor?view=lineage');
  await page.getByRole('group', { name: /What versions were made from/ }).waitFor();
  await shoot(page, 'catalog-lineage');

  await page.goto('/try?left=sample&right=sailor%40prod&temperature=0&maxTokens=40');
  for (const question of JSON.parse(await readFile(at('samples/data/prompts.json'), 'utf8')).slice(0, 2)) {
    await page.getByLabel('Your message, to both').fill(question);
    await page.keyboard.press('Enter');
    const answered = page.getByRole('log').getByText(/· \d+ tokens/);
    while (
      (await answered.count()) % 2 === 1 ||
      (await page.getByRole('button', { name: 'Stop' }).isVisible())
    )
      await sleep(100);
    await answered.last().waitFor();
  }
  await shoot(page, 'try-it');

  const narrow = await visit(browser, stack, { screen: 'narrow', scheme: 'dark' });
  await signInWithKey(narrow.page, stack.key);
  await narrow.page.goto(`/jobs/${run}?smooth=0.6`);
  await narrow.page.locator('.chart canvas').first().waitFor();
  await shoot(narrow.page, 'run-narrow');

  const training = { ...recipe.training, epochs: undefined, steps: 2000 };
  const going = await stack.submit({ ...request, adapter: 'captain', recipe: { ...recipe, training } });
  await stack.submit({ ...request, adapter: 'boatswain', recipe });
  await page.goto('/');
  while ((await stack.call('GET', `/api/v1/jobs/${going.id}`)).step < 40) await sleep(500);
  await page.getByText('Live', { exact: true }).waitFor();
  // The stream looks seldom when the machine is busy.
  await page
    .getByRole('table', { name: 'Running jobs' })
    .getByRole('link', { name: 'captain' })
    .waitFor({ timeout: 120_000 });
  await page.getByRole('progressbar', { name: /^Memory/ }).waitFor();
  await shoot(page, 'overview');
  await stack.call('POST', `/api/v1/jobs/${going.id}/cancel`);
}
