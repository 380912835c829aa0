import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(__dirname, '..');
const sources = ['apps', 'libs', 'scripts', 'bin'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(
      (name) => /\.(ts|tsx|mjs)$/.test(name) && !/node_modules|generated|dist|build|\.spec\.ts$/.test(name),
    )
    .map((name) => join(folder, name)),
);

it('nothing that the product runs goes through a shell: programs get their arguments one by one', () => {
  expect(sources.length).toBeGreaterThan(300);
  const found = sources.filter((name) => {
    const text = readFileSync(join(root, name), 'utf8');
    if (!/node:child_process|['"]child_process['"]/.test(text)) return false;
    const imported = /import \{([^}]*)\} from ['"](?:node:)?child_process['"]/.exec(text)?.[1] ?? 'exec';
    return /\bexec(Sync)?\b(?!F)/.test(imported) || /\bshell:\s*(?!false)/.test(text);
  });
  expect(found).toEqual([]);
});
