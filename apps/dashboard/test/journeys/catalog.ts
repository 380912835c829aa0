import { type Adapter } from '@lowrank/contracts';
import { setTimeout as sleep } from 'node:timers/promises';
import { type World } from '../world';
import { signInWithKey, visit } from '../browser';
import { everyScreen, look } from '../look';

/** An adapter `tone` with two versions, the second trained on from the first; made once for all journeys that need it. */
export async function withAdapter({ stack }: World): Promise<void> {
  if ((await stack.call<{ data: Adapter[] }>('GET', '/api/v1/adapters?query=tone')).data.length > 0) return;
  const bases = await stack.call<{ data: { name: string }[] }>('GET', '/api/v1/base-models');
  if (!bases.data.some(({ name }) => name === 'sample')) await stack.importSample();
  const { id: dataset } = await stack.uploadSample();
  const training = { steps: 3, sequenceLength: 128 };
  const request = { baseModel: 'sample', dataset, adapter: 'tone' };
  const first = await stack.submit({ ...request, recipe: { training, lora: { rank: 4 } } });
  await stack.untilSucceeded(first.id);
  const second = await stack.submit({ ...request, recipe: { training }, initFrom: 'tone@v1' });
  await stack.untilSucceeded(second.id);
}

export function catalogJourneys(world: World): void {
  beforeAll(() => withAdapter(world), 180_000);

  it('finds an adapter, promotes a version, rolls it back, and shows where it comes from', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.getByRole('link', { name: 'Catalog' }).click();
    await page.getByLabel('Search adapters').fill('nothing like it');
    await page.getByText('Nothing fits').waitFor();
    await page.getByLabel('Search adapters').fill('ton');
    await page.waitForURL(/q=ton/);
    await page.getByRole('link', { name: 'tone', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'tone' }).waitFor();

    for (const version of ['v1', 'v2']) {
      await page.getByRole('link', { name: version, exact: true }).click();
      await page.getByRole('button', { name: `Promote ${version}` }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel('Alias').fill('prod');
      await dialog.getByRole('button', { name: 'Promote' }).click();
      await dialog.waitFor({ state: 'detached' });
      await page.getByRole('row', { name: new RegExp(`prod ${version}`) }).waitFor();
    }
    await page.getByRole('button', { name: 'Roll back prod' }).click();
    await page.getByRole('button', { name: 'Roll it back' }).click();
    await page.getByRole('row', { name: /prod v1/ }).waitFor();
    const { data } = await world.stack.call<{ data: { name: string; version: number }[] }>(
      'GET',
      '/api/v1/adapters/tone/aliases',
    );
    expect(data).toMatchObject([{ name: 'prod', version: 1 }]);

    await page.getByLabel('Compare with').selectOption('v1');
    await page.waitForURL(/against=v1/);
    const makings = page.getByRole('table', { name: 'Makings that differ' });
    await makings.getByRole('row', { name: /^parents .*tone@v1 \(continued\)/ }).waitFor();
    const results = page.getByRole('table', { name: 'Results that differ' });
    await results.getByRole('row', { name: /^eval loss after/ }).waitFor();

    await page.getByRole('tab', { name: 'Lineage' }).click();
    await page.getByText('was trained on as').waitFor();
    const graph = page.getByRole('group', { name: /What versions were made from/ });
    await graph.getByRole('link', { name: /^dataset .+ v1$/ }).waitFor();
    await graph.getByRole('link', { name: /tone v1/ }).focus();
    await page.keyboard.press('Enter');
    await page.waitForURL(/version=v1/);
    await page.getByRole('heading', { name: 'Lineage of v1' }).waitFor();

    await page.getByRole('tab', { name: 'Card' }).click();
    await page.getByRole('button', { name: 'Write one' }).click();
    await page
      .getByLabel('Markdown')
      .fill('# Mine\n\n<img src=x onerror=alert(1)> [link](javascript:alert(1))');
    await page.getByRole('button', { name: 'Save' }).click();
    const card = page.getByRole('region', { name: 'Card of tone' });
    await card.getByRole('heading', { name: 'Mine' }).waitFor();
    expect(await card.locator('img').count()).toBe(0);
    expect(await card.getByText('link').getAttribute('href')).toBe('');
    expect(errors).toEqual([]);
    await context.close();
  }, 60_000);

  it('pins what an adapter stands on, sees that it is loaded, and unpins it', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.goto('/catalog/tone?view=use');
    await page.getByLabel('Alias or version').selectOption('latest');
    await page.getByRole('button', { name: 'Pin latest' }).click();
    await page.getByRole('row', { name: /latest v2 loaded/ }).waitFor({ timeout: 60_000 });
    await page.getByRole('link', { name: 'Pinned' }).click();
    await page.getByText(/^1 of 1 loaded, .* together/).waitFor();
    await look(world, ['/admin/pins', '/catalog/tone?view=use'], 'narrow');
    await page.getByRole('button', { name: 'Unpin tone@latest' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Unpin it' }).click();
    await page.getByText('Nothing is pinned').waitFor();
    expect((await world.stack.call<{ data: unknown[] }>('GET', '/api/v1/pins')).data).toEqual([]);
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  it('exports a version, with progress, a certificate and a download', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.goto('/catalog/tone?view=use&version=v1');
    await page.getByRole('button', { name: 'Export as GGUF adapter' }).click();
    await page.getByRole('progressbar', { name: 'Progress of GGUF adapter' }).waitFor({ state: 'attached' });
    await page.getByText('certified', { exact: true }).waitFor({ timeout: 90_000 });
    await page.getByText(/compared on \d+ rows held out, \d+ tokens/).waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: /^Download/ }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('tone-v1-gguf-adapter.tar');
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  it('talks to two models side by side, and stops', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.goto('/try?left=sample&right=tone%40v1&maxTokens=8');
    await page.getByLabel('Your message, to both').fill('Ahoy!');
    await page.keyboard.press('Enter');
    for (const model of ['sample', 'tone@v1'])
      await page
        .getByRole('log', { name: `Conversation with ${model}` })
        .getByText(new RegExp(`${model} · \\d+ tokens`))
        .waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Start anew' }).click();

    // Two versions of one adapter, each of which is in the list once its name is typed.
    for (const [side, version] of [
      ['Left', 'tone@v1'],
      ['Right', 'tone@v2'],
    ] as const) {
      await page.getByRole('combobox', { name: `${side} model` }).fill('tone');
      await page.getByRole('option', { name: version, exact: true }).click();
    }
    await page.waitForURL(/left=tone%40v1&right=tone%40v2/);
    await page.getByLabel('Your message, to both').fill('Ahoy again!');
    await page.keyboard.press('Enter');
    for (const model of ['tone@v1', 'tone@v2'])
      await page
        .getByRole('log', { name: `Conversation with ${model}` })
        .getByText(new RegExp(`${model} · \\d+ tokens`))
        .waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Start anew' }).click();

    const ask = async (text: string) => {
      await page.getByLabel('Your message, to both').fill(text);
      await page.keyboard.press('Enter');
    };
    // As on a slow network, so that there is something to stop.
    const slow = '**/v1/chat/completions';
    await page.route(slow, async (route) => {
      await sleep(5000);
      await route.continue().catch(() => undefined);
    });
    await ask('Tell me everything.');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('tone@v1 · stopped').waitFor();
    await page.getByText('tone@v2 · stopped').waitFor();
    await page.unroute(slow);

    await page.getByRole('combobox', { name: 'Right model' }).fill('no-such-model');
    await ask('Still there?');
    await page
      .getByRole('alert')
      .getByText(/no-such-model/)
      .waitFor();
    await page.waitForURL(/right=no-such-model/);
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  const paths = [
    '/catalog',
    '/catalog/tone',
    '/catalog/tone?against=v1',
    '/catalog/tone?view=lineage',
    '/catalog/tone?view=card',
    '/catalog/tone?view=use',
    '/catalog/tone?view=access',
    '/try?left=sample&right=tone',
  ];
  it.each(everyScreen)(
    'nothing is wrong with its pages, %s',
    (screen) => look(world, paths, screen),
    120_000,
  );
}
