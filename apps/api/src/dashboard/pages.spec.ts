import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodingFor, type Page, readPages } from './pages';

const page = (...encodings: string[]): Page => ({
  type: 'text/css',
  isImmutable: true,
  encodings: Object.fromEntries(
    [...encodings, 'identity'].map((one) => [one, Buffer.from(one)]),
  ) as Page['encodings'],
});

it('reads what was built, with its compressed copies, and nothing where nothing was', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-pages-'));
  try {
    await mkdir(join(folder, 'assets'));
    for (const name of ['index.html', 'index.html.gz', 'assets/a.js', 'assets/a.js.br', 'assets/a.map'])
      await writeFile(join(folder, name), name);
    const pages = await readPages(folder);
    expect([...pages.keys()].sort()).toEqual(['/assets/a.js', '/index.html']);
    expect(pages.get('/assets/a.js')).toMatchObject({
      isImmutable: true,
      type: 'text/javascript; charset=utf-8',
    });
    expect(String(pages.get('/assets/a.js')?.encodings.br)).toBe('assets/a.js.br');
    expect(pages.get('/index.html')?.isImmutable).toBe(false);
  } finally {
    await rm(folder, { recursive: true });
  }
  expect((await readPages(folder)).size).toBe(0);
});

it.each([
  [undefined, 'identity'],
  ['gzip, deflate, br, zstd', 'br'],
  ['gzip', 'gzip'],
  ['br;q=0, *', 'gzip'],
  ['BR;q=0.1', 'br'],
  ['deflate', 'identity'],
])('chooses for %s: %s', (accepted, encoding) => {
  expect(encodingFor(accepted, page('br', 'gzip'))).toBe(encoding);
});

it('sends what there is', () => {
  expect(encodingFor('br', page('gzip'))).toBe('identity');
  expect(encodingFor('br, gzip', page('gzip'))).toBe('gzip');
});
