import { type World } from '../world';
import { signInWithKey, visit } from '../browser';
import { everyScreen, look } from '../look';

export function adminJourneys(world: World): void {
  it('makes a key, shows it once, and revokes it', async () => {
    const { browser, stack } = world;
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.getByRole('link', { name: 'API keys' }).click();
    await page.locator('input[name="name"]').fill('ci');
    await page.getByLabel('Role', { exact: true }).selectOption('viewer');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const secret = (await page.getByRole('group', { name: 'the secret of ci' }).textContent()) ?? '';
    expect(secret).toMatch(/^lrk_/);
    const ask = async () =>
      (await fetch(`${stack.url}/api/v1/me`, { headers: { authorization: `Bearer ${secret}` } })).status;
    expect(await ask()).toBe(200);
    await page.reload();
    await page.getByRole('cell', { name: 'ci', exact: true }).waitFor();
    expect(await page.content()).not.toContain(secret);

    await page.getByRole('button', { name: 'Revoke ci' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke it' }).click();
    await page.getByRole('cell', { name: 'ci', exact: true }).waitFor({ state: 'detached' });
    for (const deadline = Date.now() + 10_000; (await ask()) !== 401;)
      if (Date.now() > deadline) throw new Error('The revoked key still opens something.');

    await page.getByRole('link', { name: 'Audit log' }).click();
    await page.getByLabel('Action', { exact: true }).selectOption('keys.write');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.waitForURL(/action=keys\.write/);
    await page
      .getByRole('row', { name: /revoke/ })
      .first()
      .waitFor();
    await page.getByLabel('From', { exact: true }).fill('2035-01-01T00:00');
    await page.getByRole('button', { name: 'Filter' }).click();
    await page.getByText('Nothing fits').waitFor();
    await page.goBack();
    await page
      .getByRole('row', { name: /revoke/ })
      .first()
      .waitFor();
    expect(errors).toEqual([]);
    await context.close();
  });

  it('drains a worker, and lets it work again', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.getByRole('link', { name: 'Workers' }).click();
    await page.getByRole('progressbar', { name: /^Memory: .* of / }).waitFor();
    await page.getByRole('button', { name: /^Drain / }).click();
    await page.getByRole('button', { name: 'Drain it' }).click();
    await page.getByText(/^drain(ed|ing)$/).waitFor();
    await page.getByRole('button', { name: /^Undrain / }).click();
    await page.getByText(/^(idle|working)$/).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  });

  it('invites somebody, makes a team, and shows what the installation stands on', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.getByRole('link', { name: 'Members' }).click();
    await page.getByLabel('Email').fill('ben@example.org');
    await page.getByRole('button', { name: 'Invite' }).click();
    const link = page.getByRole('group', { name: 'the link of the invitation' });
    const joining = (await link.textContent()) ?? '';
    await page.getByRole('row', { name: /ben@example.org/ }).waitFor();
    const ben = await visit(world.browser, world.stack);
    await ben.page.goto(new URL(joining).pathname + new URL(joining).hash);
    await ben.page.getByLabel('Your name').fill('Ben');
    await ben.page.locator('input[name="password"]').fill('correct horse battery');
    await ben.page.getByRole('button', { name: 'Join' }).click();
    await ben.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    await ben.context.close();

    await page.getByRole('link', { name: 'Teams' }).click();
    await page.getByLabel('Name').fill('lab');
    await page.getByLabel('First owner').fill('cat@example.org');
    await page.getByLabel('Jobs waiting at a time').fill('5');
    await page.getByLabel('Tokens a month').fill('2000000');
    await page.getByRole('button', { name: 'Make the team' }).click();
    await page.getByRole('row', { name: /lab .*0 of 2M .*0 of 5/ }).waitFor();
    await page
      .getByRole('progressbar', { name: 'Tokens of completions of lab' })
      .waitFor({ state: 'attached' });

    await page.getByRole('link', { name: 'Services' }).click();
    await page.getByRole('heading', { name: 'Object store' }).waitFor();
    await page.getByRole('link', { name: 'Queue' }).click();
    await page.getByRole('table', { name: 'Queues of workers' }).waitFor();
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('cell', { name: 'serve.token' }).waitFor();
    expect(await page.content()).not.toContain(world.stack.key);
    expect(errors).toEqual([]);
    await context.close();
  });

  const paths = ['members', 'keys', 'pins', 'audit', 'workers', 'queue', 'teams', 'services', 'settings'];
  it.each(everyScreen)(
    'nothing is wrong with its pages, %s',
    (screen) =>
      look(
        world,
        paths.map((path) => `/admin/${path}`),
        screen,
      ),
    120_000,
  );
}
