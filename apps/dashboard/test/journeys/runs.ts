import { type Job, type SweepWithTrials } from '@lowrank/contracts';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seriousFindings, signInWithKey, visit } from '../browser';
import { everyScreen, look } from '../look';
import { type World } from '../world';

/** Short chats of the sample's kind, so that training takes a moment. */
const chats = Array.from({ length: 24 }, (_, i) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `How many masts has ship ${i}?` },
      { role: 'assistant', content: `Aye, ship ${i} has ${i % 4} masts.` },
    ],
  }),
);

export function runJourneys(world: World): void {
  let folder: string;
  /** Of the job that the first test submits. */
  let runPath: string;
  let sweep: SweepWithTrials;
  /** One trial of it with the other one's curves. */
  let besides: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-journeys-'));
    await world.stack.importSample();
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('submits a job, watches it to its end, and promotes what came of it', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.getByRole('link', { name: 'New job' }).first().click();
    await page.getByRole('heading', { level: 1, name: 'New job' }).waitFor();

    const [broken, good] = [join(folder, 'broken.jsonl'), join(folder, 'chats.jsonl')];
    await writeFile(broken, `${chats[0]}\n{"messages": []}\nAhoy!\n`);
    await writeFile(good, chats.join('\n'));
    const input = page.locator('input[type="file"]');
    await input.setInputFiles(broken);
    const wrong = page.getByRole('alert').getByRole('listitem');
    await wrong.filter({ hasText: /^line 2, messages / }).waitFor();
    await wrong.filter({ hasText: /^line 3 not JSON/ }).waitFor();
    await input.setInputFiles(good);
    await page.getByText('24 rows of format chat').waitFor();
    // What is learnt is marked, in the words of the model's template.
    await page.locator('mark.learnt', { hasText: 'Aye, ship 0' }).waitFor();

    await page.getByRole('textbox', { name: 'Rank' }).fill('4');
    expect(await page.getByRole('textbox', { name: 'Alpha', exact: true }).inputValue()).toBe('8');
    await page.getByRole('button', { name: 'Help on Rank' }).click();
    await page.getByText('The update of each layer is a product').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Batches' }).click();
    await page.getByRole('textbox', { name: 'Steps', exact: true }).fill('6');
    await page.getByRole('textbox', { name: 'Sequence length' }).fill('64');
    await page.getByRole('rowheader', { name: 'Steps' }).waitFor();
    await page.getByRole('cell', { name: /^6 \(/ }).waitFor();
    await page.getByPlaceholder('support-tone').fill('masts');
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('button', { name: 'Submit' }).click();

    await page.waitForURL(/\/jobs\/job_/);
    runPath = new URL(page.url()).pathname;
    await page.getByText('succeeded', { exact: true }).first().waitFor({ timeout: 120_000 });
    await page.getByRole('heading', { level: 1, name: 'masts v1' }).waitFor();
    await page.getByRole('img', { name: /^Loss\. training: from .* at step 6; held out/ }).waitFor();
    expect(await page.locator('.chart canvas').count()).toBeGreaterThanOrEqual(4);
    for (const tab of ['Logs', 'History', 'Recipe', 'Checkpoints', 'Samples', 'Curves']) {
      await page.getByRole('tab', { name: tab }).click();
      await page.getByRole('tabpanel').waitFor();
    }
    await page.getByRole('button', { name: 'Promote v1' }).first().click();
    await page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
    await page.getByText('masts@prod stands on v1.').waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);

  it('shows answers before and after, and promotes a checkpoint from the middle of a run', async () => {
    const { stack, browser } = world;
    const form = new FormData();
    form.set('file', new Blob([chats.join('\n')]), 'chats.jsonl');
    const { id: dataset } = await stack.call<{ id: string }>('POST', '/api/v1/files', form);
    const recipe = {
      training: { steps: 6, sequenceLength: 64 },
      evaluation: { fraction: 0.2, everySteps: 3 },
      checkpoints: { everySteps: 2 },
      samples: { count: 2, maxTokens: 8 },
    };
    const { id } = await stack.submit({ baseModel: 'sample', dataset, adapter: 'kept', recipe });
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/jobs/${id}?tab=samples`);
    await page.getByRole('region', { name: 'Prompt 2' }).getByText('Before').waitFor({ timeout: 120_000 });
    await page.getByText('succeeded', { exact: true }).first().waitFor({ timeout: 120_000 });
    for (const when of ['Before', 'Step 3', 'After', 'In the data'])
      await page.getByRole('region', { name: 'Prompt 1' }).getByText(when, { exact: true }).waitFor();
    expect(await seriousFindings(page)).toEqual([]);
    await page.getByRole('tab', { name: 'Checkpoints' }).click();
    const table = page.getByRole('table', { name: 'Checkpoints' });
    await table.getByRole('link', { name: 'v1' }).waitFor();
    await table.getByRole('button', { name: 'Promote step 4' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Alias').fill('middle');
    expect(await seriousFindings(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Promote' }).click();
    await page.getByText('kept v2 is made of step 4. kept@middle stands on v2.').waitFor();
    await table.getByRole('link', { name: 'v2' }).click();
    await page.getByRole('heading', { level: 1, name: 'kept' }).waitFor();
    await page.getByRole('row', { name: /middle v2/ }).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);

  it('clones a run with a change, and compares both', async () => {
    const { stack, browser } = world;
    const { baseModel, dataset, recipe } = await stack.call<Job>('GET', `/api/v1${runPath}`);
    const lora = { ...recipe.lora, rankPattern: { 'layers.0.self_attn.q_proj': 2 } };
    const original = await stack.submit({
      ...{ baseModel: baseModel.id, dataset: dataset.id, adapter: 'masts', recipe: { ...recipe, lora } },
      ...{ metadata: { ticket: 'SHIP-7' }, placement: { deviceClasses: ['cpu'] }, priority: 3 },
    });
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/jobs/${original.id}`);
    await page.getByRole('link', { name: 'Clone and edit' }).click();
    await page.getByRole('heading', { level: 1, name: 'Clone and edit' }).waitFor();
    await page.getByRole('textbox', { name: 'Learning rate' }).fill('0.002');
    await page.getByRole('button', { name: 'Submit' }).click();
    await page.waitForURL((url) => /\/jobs\/job_/.test(url.pathname) && !url.pathname.endsWith(original.id));
    await page.getByRole('link', { name: 'another run' }).waitFor();
    const [first, second] = [original.id, new URL(page.url()).pathname.split('/')[2] as string];
    await page.getByText('succeeded', { exact: true }).first().waitFor({ timeout: 120_000 });
    expect(await stack.call<Job>('GET', `/api/v1/jobs/${second}`)).toMatchObject({
      clonedFrom: first,
      ...{ metadata: { ticket: 'SHIP-7' }, placement: { deviceClasses: ['cpu'] }, priority: 3 },
      recipe: {
        lora: { rank: 4, alpha: 8, rankPattern: { 'layers.0.self_attn.q_proj': 2 } },
        ...{ training: { steps: 6, sequenceLength: 64 }, optimizer: { learningRate: 0.002 } },
      },
    });
    await page.goto(`/compare?jobs=${encodeURIComponent(JSON.stringify([first, second]))}`);
    await page.getByRole('img', { name: /^2 runs over optimizer.learningRate, held-out loss/ }).waitFor();
    await page.getByRole('table', { name: 'Differences' }).getByText('0.002').waitFor();
    await page.getByPlaceholder('Filter by text').fill('no such run');
    await page.getByText('No run is like that').waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);

  it('sweeps, compares the trials, and lays a run beside another', async () => {
    const { stack, browser } = world;
    const { baseModel, dataset } = await stack.call<Job>('GET', `/api/v1${runPath}`);
    sweep = await stack.call<SweepWithTrials>('POST', '/api/v1/sweeps', {
      ...{ baseModel: baseModel.id, dataset: dataset.id, adapter: 'swept' },
      recipe: { training: { steps: 3, sequenceLength: 64 }, lora: { rank: 4 } },
      space: { 'optimizer.learningRate': { values: [0.001, 0.002] } },
      method: { type: 'grid' },
    });
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    await page.goto(`/compare?sweep=${sweep.id}`);
    await page.getByRole('img', { name: /^2 runs over optimizer.learningRate, held-out loss/ }).waitFor();
    const runs = page.getByRole('table', { name: 'Runs' });
    for (const rate of ['0.001', '0.002'])
      await runs
        .getByRole('row', { name: new RegExp(`succeeded .*${rate} 100%`) })
        .waitFor({ timeout: 120_000 });
    await page.getByRole('table', { name: 'Differences' }).getByText('0.002').waitFor();
    await runs.getByRole('link').first().click();
    await page.getByRole('link', { name: /^Sweep, trial [12]$/ }).waitFor();

    const [one, two] = sweep.trials.map(({ jobId }) => jobId as string) as [string, string];
    const beside = encodeURIComponent(JSON.stringify([two]));
    besides = `/jobs/${one}?with=${beside}&log=true&smooth=0.5`;
    await page.goto(besides);
    const name = new RegExp(
      `^Loss\\. training: .*; held out: .*; …${two.slice(-6)}: .* at step 3; …${two.slice(-6)} held out: `,
    );
    await page.getByRole('img', { name }).waitFor();
    expect(await page.getByRole('switch', { name: 'Logarithmic' }).isChecked()).toBe(true);
    await page.getByText('Smoothing 0.50').waitFor();
    await page.getByRole('switch', { name: 'Logarithmic' }).press('Space');
    await page.waitForURL((url) => !url.search.includes('log=') && url.search.includes('smooth=0.5'));
    await page.getByRole('tab', { name: 'Recipe' }).click();
    await page.getByRole('combobox', { name: 'Run' }).click();
    await page.getByRole('option', { name: new RegExp(two.slice(-6)) }).click();
    await page.waitForURL(new RegExp(`diff=${two}`));
    const differences = page.getByRole('table', { name: 'Differences' });
    await differences.getByRole('row', { name: /^optimizer.learningRate/ }).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 180_000);

  it.each(everyScreen)(
    'nothing is wrong with its pages, %s',
    (screen) =>
      look(
        world,
        [
          ...['/', '/jobs', '/jobs/new', `/jobs/new?from=${runPath.split('/')[2]}`, runPath, besides],
          ...['checkpoints', 'samples', 'logs', 'history', 'recipe'].map((tab) => `${runPath}?tab=${tab}`),
          ...['/compare', `/compare?sweep=${sweep.id}`],
          `/compare?jobs=${encodeURIComponent(JSON.stringify([runPath.split('/')[2]]))}`,
        ],
        screen,
      ),
    180_000,
  );
}
