import { type Dataset } from '@lowrank/contracts';
import { signInWithKey, visit } from '../browser';
import { type World } from '../world';
import { everyScreen, look } from '../look';
import { withAdapter } from './catalog';

export function evaluationJourneys(world: World): void {
  let rows: Dataset;
  beforeAll(async () => {
    await withAdapter(world);
    rows = await world.stack.uploadSample();
  }, 180_000);

  it('sets a gate, is refused by it, measures a version, and the alias moves', async () => {
    const { stack, browser } = world;
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto('/catalog/tone?view=evaluations&version=v2');
    await page.getByText('Not measured yet').waitFor();

    await page.getByRole('button', { name: 'Set a gate' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Alias').fill('gated');
    await dialog.getByLabel('Rows of').selectOption(rows.id);
    await dialog.getByLabel('At most, nats').fill('100');
    await dialog.getByRole('button', { name: 'Set the gate' }).click();
    await page.getByRole('row', { name: /gated loss ≤ 100/ }).waitFor();

    await page.getByRole('tab', { name: 'Versions' }).click();
    await page.getByRole('button', { name: 'Promote v2' }).click();
    await dialog.getByLabel('Alias').fill('gated');
    await dialog.getByRole('button', { name: 'Promote' }).click();
    await dialog
      .getByRole('alert')
      .getByRole('listitem')
      .getByText('loss is not measured, needed is at most 100')
      .waitFor();
    await dialog.getByRole('link', { name: 'Evaluations and gates of tone' }).click();

    await page.getByRole('button', { name: 'Measure v2' }).click();
    await dialog.getByLabel('Measured by').selectOption('gated');
    await dialog.getByRole('button', { name: 'Measure it' }).click();
    await page.getByText('gated moved').waitFor({ timeout: 90_000 });
    await page
      .getByRole('table', { name: /^Results on/ })
      .getByRole('row', { name: /loss \d/ })
      .waitFor();
    const { data } = await stack.call<{ data: { name: string; version: number }[] }>(
      'GET',
      '/api/v1/adapters/tone/aliases',
    );
    expect(data).toContainEqual(expect.objectContaining({ name: 'gated', version: 2 }));

    await page.getByRole('tab', { name: 'Versions' }).click();
    await page.getByRole('button', { name: 'History of gated' }).click();
    await page.getByRole('row', { name: /moved nowhere → v2 first admin key passed/ }).waitFor();
    await page.keyboard.press('Escape');

    await page.getByRole('tab', { name: 'Evaluations' }).click();
    await page.getByRole('button', { name: 'Remove the gate of gated' }).click();
    await page.getByRole('button', { name: 'Remove it' }).click();
    await page.getByText('No gates').waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 150_000);

  it('deletes a version and restores it', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    for (const alias of ['gated', 'prod'])
      await world.stack.call('DELETE', `/api/v1/adapters/tone/aliases/${alias}`).catch(() => undefined);
    await page.goto('/catalog/tone');
    await page.getByRole('button', { name: 'Delete v2' }).click();
    await page.getByRole('button', { name: 'Delete it' }).click();
    await page.getByRole('button', { name: 'Restore v2' }).click();
    await page.getByRole('link', { name: 'v2', exact: true }).waitFor();
    await page.getByRole('heading', { name: 'Deleted versions' }).waitFor({ state: 'detached' });
    expect(errors).toEqual([]);
    await context.close();
  });

  it.each(everyScreen)(
    'nothing is wrong with its page, %s',
    (screen) => look(world, ['/catalog/tone?view=evaluations'], screen),
    120_000,
  );
}
