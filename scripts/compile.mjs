// Compiles apps/ and libs/ to dist/: CommonJS, one file a source file. dist mirrors the source tree, so the relative paths that
// swc makes of the @lowrank/* aliases hold there too.
import { transformFile } from '@swc/core';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { paths, root } from './aliases.mjs';

const swcrc = JSON.parse(readFileSync(join(root, '.swcrc'), 'utf8'));
const options = { ...swcrc, $schema: undefined, swcrc: false, jsc: { ...swcrc.jsc, baseUrl: root, paths } };

const sources = [];
for (const folder of ['apps', 'libs']) {
  for (const name of await readdir(join(root, folder), { recursive: true })) {
    // The dashboard is bundled for browsers (apps/dashboard/build.mjs).
    if (folder === 'apps' && name.startsWith('dashboard/')) continue;
    if (name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.endsWith('.spec.ts'))
      sources.push(join(folder, name));
  }
}
await rm(join(root, 'dist'), { recursive: true, force: true });
await Promise.all(
  sources.map(async (source) => {
    const { code, map } = await transformFile(join(root, source), options);
    const target = join(root, 'dist', source.replace(/\.ts$/, '.js'));
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, `${code}//# sourceMappingURL=${target.split('/').pop()}.map\n`);
    await writeFile(`${target}.map`, map ?? '');
  }),
);
process.stdout.write(`compiled ${sources.length} files to dist/\n`);
