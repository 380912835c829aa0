// The component library's styles, of the components that the page uses and of those that they are made of: all of it would be an
// eighth of what a browser may load first. `import 'virtual:mantine-styles'` is replaced by them, in the order that they have in the whole.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('src/', import.meta.url));
const library = fileURLToPath(new URL('../../node_modules/@mantine/core/', import.meta.url));
const components = join(library, 'esm/components');
const name = 'virtual:mantine-styles';

/** The folder of each component that the library exports. */
function foldersByExport() {
  const index = readFileSync(join(library, 'esm/index.mjs'), 'utf8');
  const found = index.matchAll(/import \{ ([^}]+) \} from "\.\/components\/([A-Za-z]+)\//g);
  return new Map([...found].flatMap(([, names, folder]) => names.split(', ').map((one) => [one, folder])));
}

/** What the sources of the page import from the library. */
function* imported() {
  for (const file of readdirSync(source, { recursive: true })) {
    if (!/\.tsx?$/.test(file)) continue;
    const text = readFileSync(join(source, file), 'utf8');
    for (const [, names] of text.matchAll(/import \{([^}]+)\} from '@mantine\/core'/g))
      yield* names.split(',').map((one) => one.trim().replace(/^type /, ''));
  }
}

/** Adds a component's folder and those of the components that it is made of. */
function addWithParts(folder, all) {
  if (all.has(folder)) return;
  all.add(folder);
  for (const file of readdirSync(join(components, folder), { recursive: true })) {
    if (!file.endsWith('.mjs')) continue;
    const text = readFileSync(join(components, folder, file), 'utf8');
    for (const [, path] of text.matchAll(/from "((?:\.\.\/)+[A-Z][A-Za-z]+\/[^"]+)"/g)) {
      const [part] = join(folder, file, '..', path).split('/');
      if (existsSync(join(components, part))) addWithParts(part, all);
    }
  }
}

function styles() {
  const folders = new Set();
  const exported = foldersByExport();
  for (const one of imported()) if (exported.has(one)) addWithParts(exported.get(one), folders);
  const whole = readFileSync(join(library, 'styles.css'), 'utf8');
  // InlineInput is what checkboxes and switches share, beside the components.
  return ['baseline', 'default-css-variables', 'global', 'InlineInput', ...folders]
    .map((file) => join(library, 'styles', `${file}.css`))
    .filter((path) => existsSync(path))
    .map((path) => ({ path, place: whole.indexOf(readFileSync(path, 'utf8').slice(0, 60)) }))
    .sort((a, b) => a.place - b.place);
}

export const mantineStyles = () => ({
  name: 'mantine-styles',
  resolveId: (id) => (id === name ? `\0${name}` : null),
  load: (id) =>
    id === `\0${name}`
      ? styles()
          .map(({ path }) => `import ${JSON.stringify(path)};`)
          .join('\n')
      : null,
});
