import { overflow, type screens, seriousFindings, signInWithKey, visit } from '../browser';
import { everyScreen, look } from '../look';
import { type World } from '../world';

const password = 'correct horse battery';

export function signInJourneys(world: World): void {
  it('takes a key, keeps the link that was asked for, and signs out', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await page.goto('/?from=a-link');
    await page.waitForURL(/\/sign-in\?next=/);
    await page.getByRole('tab', { name: 'API key' }).click();
    await page.locator('input[name="key"]').fill('lrk_mistyped');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('mistyped, unknown or revoked').waitFor();
    await page.locator('input[name="key"]').fill(world.stack.key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL('**/?from=a-link');
    const [cookie] = await context.cookies();
    expect(cookie).toMatchObject({ name: 'lowrank_session', httpOnly: true, sameSite: 'Strict' });
    expect(cookie?.value).not.toContain('lrk_');
    expect(await page.evaluate('JSON.stringify({ ...localStorage })')).not.toContain('lrk_');

    await page.getByRole('button', { name: /^Account/ }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in to Lowrank' }).waitFor();
    await page.goto('/');
    await page.waitForURL(/\/sign-in/);
    expect(errors).toEqual([]);
    await context.close();
  });

  it('takes a password, switches teams, and comes back to where it was when the session is over', async () => {
    const { stack, browser } = world;
    const email = 'ann@example.org';
    const { token } = await stack.call<{ token: string }>('POST', '/api/v1/invitations', {
      email,
      role: 'member',
    });
    await stack.call('POST', '/api/v1/invitations/accept', { token, name: 'Ann', password });
    const team = { name: 'research', owner: email };
    const { invitation } = await stack.call<{ invitation: { token: string } }>('POST', '/api/v1/teams', team);
    await stack.call('POST', '/api/v1/invitations/accept', { token: invitation.token, password });

    const { page, context, errors } = await visit(browser, stack);
    await page.goto('/');
    await page.getByLabel('Email').fill(email);
    await page.locator('input[name="password"]').fill(password);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    await page.getByRole('button', { name: /team default/ }).click();
    await page.getByRole('button', { name: /^research/ }).click();
    await page.getByRole('button', { name: /team research/ }).waitFor();

    await context.clearCookies();
    await page.goto('/?kept=1');
    await page.waitForURL(/\/sign-in\?next=.*kept/);
    expect(errors).toEqual([]);
    await context.close();
  });

  it.each(['wide', 'narrow'] as (keyof typeof screens)[])(
    'is navigated by keyboard, and axe finds nothing serious, on a %s screen',
    async (screen) => {
      const { page, context, errors } = await visit(world.browser, world.stack, { screen });
      await page.goto('/sign-in');
      await page.getByRole('heading', { name: 'Sign in to Lowrank' }).waitFor();
      expect(await seriousFindings(page)).toEqual([]);
      await signInWithKey(page, world.stack.key);
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      expect(await page.evaluate('document.activeElement.id')).toBe('main');
      const burger = page.getByRole('button', { name: 'Open the navigation' });
      if (screen === 'narrow') await burger.press('Enter');
      await page.getByRole('navigation', { name: 'Main' }).getByRole('link', { name: 'Overview' }).waitFor();
      expect(await seriousFindings(page)).toEqual([]);
      expect(await overflow(page)).toBe(0);
      expect(errors).toEqual([]);
      await context.close();
    },
  );

  it.each(everyScreen)('nothing is wrong with pages that need no session, %s', (screen) =>
    look(world, ['/sign-in', '/join#lri_x', '/reset-password#lrr_x'], screen, async () => undefined),
  );
}
