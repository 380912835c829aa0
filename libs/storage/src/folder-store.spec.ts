import { codeOf, objectStoreConformance } from '@lowrank/testing';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { FolderStore } from './folder-store';

objectStoreConformance('a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lowrank-store-'));
  return { store: new FolderStore(join(folder, 'objects')), close: () => rm(folder, { recursive: true }) };
});

describe('FolderStore', () => {
  let folder: string;
  let store: FolderStore;
  const put = (key: string, text = 'x') => store.put(key, Buffer.from(text), { bytes: text.length });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-store-'));
    store = new FolderStore(join(folder, 'objects'));
    await put('a/inside');
    await mkdir(join(folder, 'outside'));
    await writeFile(join(folder, 'outside/secret'), 'secret');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('reads, writes and deletes nothing through a link to a folder', async () => {
    await symlink(join(folder, 'outside'), join(folder, 'objects/linked'));
    expect(await codeOf(store.get('linked/secret'))).toBe('integrity_failed');
    expect(await codeOf(store.head('linked/secret'))).toBe('integrity_failed');
    expect(await codeOf(put('linked/new'))).toBe('integrity_failed');
    expect(await codeOf(store.delete('linked/secret'))).toBe('integrity_failed');
    expect(await readdir(join(folder, 'outside'))).toEqual(['secret']);
    expect(await codeOf(store.list('linked/')[Symbol.asyncIterator]().next())).toBe('integrity_failed');
  });

  it('neither reads nor writes through a link to a file', async () => {
    await symlink(join(folder, 'outside/secret'), join(folder, 'objects/a/link'));
    expect(await codeOf(store.get('a/link'))).toBe('integrity_failed');
    expect(await codeOf(store.head('a/link'))).toBe('integrity_failed');
    await put('a/link', 'own');
    expect(await readFile(join(folder, 'outside/secret'), 'utf8')).toBe('secret');
    expect(await store.head('a/link')).toEqual({ bytes: 3 });
  });

  it('removes folders with the last key in them', async () => {
    await put('a/b/c/d');
    await put('a/b/e');
    await store.delete('a/b/c/d');
    expect(await readdir(join(folder, 'objects/a/b'))).toEqual(['e']);
    await store.delete('a/b/e');
    expect(await readdir(join(folder, 'objects/a'))).toEqual(['inside']);
    await store.delete('a/inside');
    expect(await readdir(join(folder, 'objects'))).toEqual(['.partial']);
  });

  it('leaves no partial file behind, whatever happens', async () => {
    await put('a/b');
    await store.put('a/b', Buffer.from('y'), { bytes: 1, ifAbsent: true });
    await codeOf(store.put('a/c', Readable.from([Buffer.alloc(9)]), { bytes: 3 }));
    expect(await readdir(join(folder, 'objects/.partial'))).toEqual([]);
  });

  it('removes what a crash left behind long ago, and only that', async () => {
    const partial = (name: string) => join(folder, 'objects/.partial', name);
    await writeFile(partial('old'), '');
    await writeFile(partial('new'), '');
    await utimes(partial('old'), 0, 0);
    await store.probe();
    expect(await readdir(join(folder, 'objects/.partial'))).toEqual(['new']);
  });

  it('says store_unavailable when the folder cannot be one', async () => {
    const broken = new FolderStore(join(folder, 'outside/secret'));
    expect(await codeOf(broken.probe())).toBe('store_unavailable');
    expect(await codeOf(broken.put('a', Buffer.alloc(1), { bytes: 1 }))).toBe('store_unavailable');
  });
});
