import { type Job, type JobDetail } from '@lowrank/contracts';
import { type Page } from 'playwright-core';
import { signInWithKey, visit } from '../browser';
import { type World } from '../world';

export function controlJourneys(world: World): void {
  let dataset: string;
  beforeAll(async () => void ({ id: dataset } = await world.stack.uploadSample()), 60_000);

  /** A job that goes on until somebody ends it. */
  const submitLong = (changes: object = {}): Promise<JobDetail> => {
    const recipe = {
      training: { steps: 100_000, sequenceLength: 64, rows: 1 },
      ...{ lora: { rank: 2 }, checkpoints: { everySteps: 10 }, evaluation: { fraction: 0 } },
    };
    return world.stack.submit({ baseModel: 'sample', dataset, adapter: 'endless', recipe, ...changes });
  };
  const stateIs = (page: Page, state: Job['state']) =>
    page.getByText(state, { exact: true }).first().waitFor({ timeout: 60_000 });

  it('pauses a run, resumes it, cancels it, and tries it again', async () => {
    const { stack, browser } = world;
    const { id } = await submitLong();
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/jobs/${id}`);
    const button = (name: string) => page.getByRole('button', { name, exact: true });
    await stateIs(page, 'running');
    await page.getByText(/^step \d+ of 100,000$/).waitFor();
    await button('Pause').click();
    await page.getByText('It writes a checkpoint and gives its slot back.').waitFor();
    await stateIs(page, 'paused');
    await button('Resume').click();
    await stateIs(page, 'running');
    await page.getByText('attempt 2', { exact: true }).waitFor();
    await button('Cancel').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click();
    await stateIs(page, 'cancelled');
    await button('Retry').click();
    await stateIs(page, 'running');
    await page.getByText('attempt 3', { exact: true }).waitFor();
    await button('Cancel').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel the job' }).click();
    await stateIs(page, 'cancelled');
    await page.getByRole('tab', { name: 'History' }).click();
    await page.getByText(/^Retried after it was cancelled/).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);

  it('says that the connection is interrupted, and goes on where it was when it is back', async () => {
    const { stack, browser } = world;
    const { id } = await submitLong();
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/jobs/${id}`);
    await stateIs(page, 'running');
    const notice = page.getByText('The connection is interrupted');
    expect(await notice.isVisible()).toBe(false);
    await context.setOffline(true);
    await notice.waitFor();
    // What happens meanwhile is told afterwards.
    await stack.call('POST', `/api/v1/jobs/${id}/cancel`);
    await context.setOffline(false);
    await notice.waitFor({ state: 'detached' });
    await stateIs(page, 'cancelled');
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  it('tries failed jobs again from the queue, one and all', async () => {
    const { stack, browser } = world;
    const deadline = new Date(Date.now() + 3000).toISOString();
    const { id } = await submitLong({ adapter: 'late', deadline });
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/jobs/${id}`);
    await stateIs(page, 'failed');
    await page.getByRole('link', { name: 'Queue' }).click();
    const late = page.getByRole('table', { name: 'Failed jobs' }).getByRole('row', { name: /^late / });
    await late.getByText('deadline_exceeded').waitFor();
    await late.getByRole('button', { name: 'Retry late' }).click();
    await page.getByText('1 queued again.', { exact: true }).waitFor();
    await late.waitFor({ state: 'detached' });

    // Its deadline is still over, so that it comes back.
    await page.goto(`/jobs/${id}`);
    await page.getByText('attempt 2', { exact: true }).waitFor();
    await stateIs(page, 'failed');
    await page.getByRole('link', { name: 'Queue' }).click();
    await late.waitFor();
    await page.getByRole('button', { name: /^Retry all \d+$/ }).click();
    await page.getByText(/^\d+ queued again\.$/).waitFor();
    expect((await stack.call<Job>('GET', `/api/v1/jobs/${id}`)).epoch).toBe(3);
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);
}
