import { setTimeout as sleep } from 'node:timers/promises';
import { type Page } from 'playwright-core';
import { seriousFindings, visit } from '../browser';
import { type World } from '../world';
import { everyScreen, look } from '../look';

const email = 'eve@example.org';

async function signIn(page: Page, password: string): Promise<void> {
  await page.goto('/sign-in');
  await page.getByLabel('Email').fill(email);
  await page.locator('input[name="password"]').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
}

export function accountJourneys(world: World): void {
  /** Changed by the journeys, which go on from each other. */
  let password = 'correct horse battery';
  beforeAll(async () => {
    const { stack } = world;
    const invite = { email, role: 'member' };
    const { token } = await stack.call<{ token: string }>('POST', '/api/v1/invitations', invite);
    await stack.call('POST', '/api/v1/invitations/accept', { token, name: 'Eve', password });
  }, 60_000);

  it('makes a key of their own, shows it once, and revokes it', async () => {
    const { browser, stack } = world;
    const { page, context, errors } = await visit(browser, stack);
    await signIn(page, password);
    await page.getByRole('button', { name: /^Account Eve/ }).click();
    await page.getByRole('button', { name: 'Your account' }).click();
    await page.getByRole('heading', { level: 1, name: 'Your account' }).waitFor();
    await page.locator('input[name="name"]').fill('laptop');
    await page.getByRole('button', { name: 'Make a key' }).click();
    const secret = (await page.getByRole('group', { name: 'the secret of laptop' }).textContent()) ?? '';
    const ask = async () =>
      (await fetch(`${stack.url}/api/v1/me`, { headers: { authorization: `Bearer ${secret}` } })).status;
    expect(await ask()).toBe(200);
    await page.reload();
    await page.getByRole('cell', { name: 'laptop', exact: true }).waitFor();
    expect(await page.content()).not.toContain(secret);
    await page.getByRole('button', { name: 'Revoke laptop' }).click();
    await page.getByRole('button', { name: 'Revoke it' }).click();
    await page.getByText('No keys in use').waitFor();
    for (const deadline = Date.now() + 20_000; (await ask()) !== 401; await sleep(200))
      if (Date.now() > deadline) throw new Error('The revoked key still opens something.');
    expect(errors).toEqual([]);
    await context.close();
  }, 60_000);

  it('lists sessions and ends others', async () => {
    const { browser, stack } = world;
    const [here, second, third] = [
      await visit(browser, stack),
      await visit(browser, stack),
      await visit(browser, stack),
    ];
    for (const { page } of [second, third, here]) await signIn(page, password);
    await here.page.goto('/account');
    const rows = here.page.getByRole('table', { name: 'Your sessions' }).locator('tbody tr');
    await rows.filter({ hasText: 'this session' }).waitFor();
    expect(await rows.first().textContent()).toContain('Chrome on Linux');
    await rows
      .nth(1)
      .getByRole('button', { name: /^End the session of Chrome/ })
      .click();
    await here.page.getByRole('button', { name: 'End it' }).click();
    await here.page.getByText('The session is over.').waitFor();
    await third.page.goto('/account');
    await third.page.waitForURL(/\/sign-in/);
    await second.page.reload();
    await second.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    await here.page.getByRole('button', { name: 'End all others' }).click();
    await here.page.getByRole('button', { name: 'End them' }).click();
    await here.page.getByText('There is no other session.').waitFor();
    await second.page.goto('/account');
    await second.page.waitForURL(/\/sign-in/);
    await here.page.reload();
    await here.page.getByRole('heading', { level: 1, name: 'Your account' }).waitFor();
    await rows.first().waitFor();
    expect(await rows.count()).toBe(1);
    expect([...here.errors, ...second.errors, ...third.errors]).toEqual([]);
    for (const { context } of [here, second, third]) await context.close();
  }, 60_000);

  it('changes the password, which ends sessions elsewhere', async () => {
    const [here, elsewhere] = [
      await visit(world.browser, world.stack),
      await visit(world.browser, world.stack),
    ];
    await signIn(here.page, password);
    await signIn(elsewhere.page, password);
    await here.page.goto('/account');
    await here.page.locator('input[name="current"]').fill(password);
    password = 'another horse battery';
    await here.page.locator('input[name="password"]').fill(password);
    await here.page.getByRole('button', { name: 'Change it' }).click();
    await here.page.getByText('Your password is changed').waitFor();
    await elsewhere.page.goto('/account');
    await elsewhere.page.waitForURL(/\/sign-in/);
    await here.page.reload();
    await here.page.getByRole('heading', { level: 1, name: 'Your account' }).waitFor();
    expect([...here.errors, ...elsewhere.errors]).toEqual([]);
    await here.context.close();
    await elsewhere.context.close();
  }, 60_000);

  it('takes the link of an admin when the password is forgotten', async () => {
    const { browser, stack } = world;
    const admin = await visit(browser, stack);
    await admin.page.goto('/sign-in');
    await admin.page.getByRole('tab', { name: 'API key' }).click();
    await admin.page.locator('input[name="key"]').fill(stack.key);
    await admin.page.getByRole('button', { name: 'Sign in' }).click();
    await admin.page.getByRole('link', { name: 'Members' }).click();
    await admin.page.getByRole('button', { name: 'Reset password of Eve' }).click();
    await admin.page.getByRole('button', { name: 'Make the link' }).click();
    const link = await admin.page.getByRole('group', { name: 'the link of the reset' }).textContent();
    expect(admin.errors).toEqual([]);
    await admin.context.close();

    const { page, context, errors } = await visit(browser, stack);
    const { pathname, hash } = new URL(link ?? '');
    await page.goto(pathname + hash);
    password = 'a third horse battery';
    await page.locator('input[name="password"]').fill(password);
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('button', { name: 'Change it' }).click();
    await page.getByRole('heading', { name: 'Your password is changed' }).waitFor();
    await page.reload();
    await page.locator('input[name="password"]').fill('a fourth horse battery');
    await page.getByRole('button', { name: 'Change it' }).click();
    await page.getByRole('alert').waitFor();
    await signIn(page, password);
    expect(errors).toEqual([]);
    await context.close();
  }, 60_000);

  it.each(everyScreen)('nothing is wrong with the page, %s', (screen) =>
    look(world, ['/account'], screen, (page) => signIn(page, password)),
  );

  it('leaves the team', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signIn(page, password);
    await page.goto('/account');
    await page.getByRole('button', { name: /^Leave / }).click();
    await page.getByRole('button', { name: 'Leave the team' }).click();
    await page.waitForURL(/\/sign-in/);
    const { data } = await world.stack.call<{ data: { email: string }[] }>('GET', '/api/v1/members');
    expect(data.map((member) => member.email)).not.toContain(email);
    expect(errors).toEqual([]);
    await context.close();
  });
}
