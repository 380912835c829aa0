import { type Dataset, type Job } from '@lowrank/contracts';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signInWithKey, visit } from '../browser';
import { type World } from '../world';
import { everyScreen, look } from '../look';

const chat = (i: number) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: `What is ${i} and ${i}?` },
      { role: 'assistant', content: `It is ${2 * i}.` },
    ],
  });

export function datasetJourneys(world: World): void {
  let folder: string;
  let id: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-datasets-'));
    const { stack } = world;
    const bases = await stack.call<{ data: { name: string }[] }>('GET', '/api/v1/base-models');
    if (!bases.data.some(({ name }) => name === 'sample')) await stack.importSample();
  }, 60_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it('uploads a file, shows its rows, lengths and duplicates, and another version of it', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.getByRole('link', { name: 'Datasets' }).click();
    await page.getByRole('heading', { level: 1, name: 'Datasets' }).waitFor();
    const file = join(folder, 'sums.jsonl');
    await writeFile(file, [1, 2, 3, 3].map((i) => chat(i)).join('\n'));
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByRole('heading', { level: 1, name: 'sums@1' }).waitFor();
    id = new URL(page.url()).pathname.split('/')[2] ?? '';
    await page.locator('mark.learnt', { hasText: 'It is 2.' }).waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.locator('mark.learnt', { hasText: 'It is 4.' }).waitFor();
    await page.getByRole('table', { name: 'Conversations by length' }).waitFor();
    await page.getByRole('row', { name: /the same text 1 3: 4/ }).waitFor();

    await page.goto('/datasets');
    await writeFile(file, [1, 2, 5].map((i) => chat(i)).join('\n'));
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByRole('heading', { level: 1, name: 'sums@2' }).waitFor();
    await page.getByLabel('Compared with').selectOption(id);
    await page.waitForURL(/against=/);
    await page.getByRole('row', { name: /also in the other dataset 2/ }).waitFor();
    await page.getByRole('link', { name: 'All versions' }).click();
    await page.getByRole('link', { name: 'sums@1' }).waitFor();
    await page.getByRole('link', { name: 'sums@2' }).waitFor();
    expect(errors).toEqual([]);
    await context.close();
  }, 60_000);

  it('sends a large file in parts, stops, and goes on where it was', async () => {
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.goto('/datasets');
    const file = join(folder, 'large.jsonl');
    // Some 28 MB, four parts, of little that is to be looked at.
    await writeFile(file, Array.from({ length: 4600 }, (_, i) => `${chat(i)}${' '.repeat(6000)}`).join('\n'));
    const sent: string[] = [];
    let isSlow = true;
    await page.route('**/api/v1/uploads/*/parts/*', async (route) => {
      const [part = ''] = /\d+$/.exec(route.request().url()) ?? [];
      // As if the connection were lost after the second part, until the page is loaded again.
      if (isSlow && Number(part) > 2) return;
      sent.push(part);
      await route.continue();
    });
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByText(/^(5|6)\d%$/).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('goes on where it was').waitFor();
    isSlow = false;
    await page.reload();
    await page.locator('input[type="file"]').setInputFiles(file);
    await page.getByRole('heading', { level: 1, name: 'large@1' }).waitFor({ timeout: 60_000 });
    expect([...sent].sort()).toEqual(['1', '2', '3', '4']);
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  it('fetches a URL, and tells why another is not', async () => {
    const rows = [7, 8].map((i) => chat(i)).join('\n');
    const server = createServer((_request, response) => response.end(rows)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const { page, context, errors } = await visit(world.browser, world.stack);
    await signInWithKey(page, world.stack.key);
    await page.goto('/datasets');
    await page.getByLabel('or from a URL').fill('http://10.255.255.1/chats.jsonl');
    await page.getByRole('button', { name: 'Fetch it' }).click();
    await page.getByRole('alert').waitFor();
    await page.getByLabel('or from a URL').fill(`http://127.0.0.1:${port}/fetched.jsonl`);
    await page.getByLabel('Name', { exact: true }).fill('from-elsewhere');
    await page.getByRole('button', { name: 'Fetch it' }).click();
    await page.getByRole('heading', { level: 1, name: 'from-elsewhere@1' }).waitFor();
    server.close();
    expect(errors).toEqual([]);
    await context.close();
  });

  it('evaluates a new job on a dataset of its own', async () => {
    const { stack, browser } = world;
    const { page, context, errors } = await visit(browser, stack);
    await signInWithKey(page, stack.key);
    const { data } = await stack.call<{ data: Dataset[] }>('GET', '/api/v1/files?name=sums');
    const other = data.find(({ version }) => version === 2)?.id ?? '';
    await page.goto(`/datasets/${id}`);
    await page.getByRole('link', { name: 'Train on it' }).click();
    await page.getByLabel('Evaluate on').selectOption(other);
    await page.getByRole('button', { name: 'Batches' }).click();
    await page.getByRole('textbox', { name: 'Steps', exact: true }).fill('2');
    await page.getByPlaceholder('support-tone').fill('sums');
    await page.getByRole('button', { name: 'Submit' }).click();
    await page.waitForURL(/\/jobs\/job_/);
    const job = await stack.call<Job>('GET', `/api/v1${new URL(page.url()).pathname}`);
    expect([job.dataset.id, job.validationDataset?.id]).toEqual([id, other]);
    await stack.untilSucceeded(job.id);
    expect(errors).toEqual([]);
    await context.close();
  }, 120_000);

  it.each(everyScreen)(
    'nothing is wrong with its pages, %s',
    (screen) => look(world, ['/datasets', `/datasets/${id}`], screen),
    120_000,
  );
}
