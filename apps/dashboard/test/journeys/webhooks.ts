import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { signInWithKey, visit } from '../browser';
import { type World } from '../world';
import { everyScreen, look } from '../look';

export function webhookJourneys(world: World): void {
  it('makes a webhook, shows its secret once, tries it, retries what has failed, and deletes it', async () => {
    const { stack, browser } = world;
    const told: unknown[] = [];
    const server = createServer(({ headers }, response) => {
      told.push(headers['webhook-id']);
      response.end();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.getByRole('link', { name: 'Webhooks' }).click();
    await page.getByText('No webhooks').waitFor();
    await page.getByLabel('URL').fill(url);
    await page.getByLabel('Tell it of some events only').check();
    await page.getByLabel('job.failed').check();
    await page.getByRole('button', { name: 'Make it' }).click();
    const secret = (await page.getByRole('group', { name: 'the secret of the webhook' }).textContent()) ?? '';
    expect(secret).toMatch(/^whsec_/);
    await page.getByRole('link', { name: url }).click();
    await page.waitForURL(/webhook=whk_/);
    await page.getByRole('button', { name: `Test ${url}` }).click();
    await page.getByRole('row', { name: /webhook\.test delivered 1 200/ }).waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Retry webhook.test' }).click();
    for (const deadline = Date.now() + 60_000; told.length < 2; await sleep(200))
      if (Date.now() > deadline) throw new Error('It was not tried again.');
    expect(new Set(told).size).toBe(1);
    await page.reload();
    await page.getByRole('row', { name: /webhook\.test/ }).waitFor();
    expect(await page.content()).not.toContain(secret);
    await page.getByLabel('State', { exact: true }).selectOption('dead');
    await page.getByText('None is dead').waitFor();
    await page.waitForURL(/state=dead/);
    await page.getByRole('button', { name: `Delete ${url}` }).click();
    await page.getByRole('button', { name: 'Delete it' }).click();
    await page.getByText('No webhooks').waitFor();
    expect(errors).toEqual([]);
    await context.close();
    server.close();
  }, 120_000);

  it.each(everyScreen)('nothing is wrong with its page, %s', async (screen) => {
    const { id } = await world.stack.call<{ id: string }>('POST', '/api/v1/webhooks', {
      url: 'https://hooks.example/lowrank',
    });
    await look(world, [`/admin/webhooks?webhook=${id}`], screen);
    await world.stack.call('DELETE', `/api/v1/webhooks/${id}`);
  });
}
