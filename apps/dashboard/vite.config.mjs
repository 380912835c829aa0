// How the dashboard is built, and served while it is worked on: `npx vite apps/dashboard` passes the API on to LOWRANK_URL.
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

const contracts = fileURLToPath(new URL('../../libs/contracts/src/', import.meta.url));
const target = process.env.LOWRANK_URL ?? 'http://127.0.0.1:7380';
const passOn = Object.fromEntries(['/api', '/v1', '/health', '/docs'].map((path) => [path, { target }]));

/**
 * Has each of Mantine's components bring its own styles, after those of the components that it is made of: all of them together are twice
 * what the pages use. The library keeps the class names of component X in X.module.mjs, and their rules in styles/X.css.
 */
const stylesOfComponents = {
  name: 'lowrank:mantine-styles',
  apply: 'build',
  transform: {
    filter: { id: /@mantine\/core\/esm\/.*\.module\.mjs$/ },
    handler: (code, id) => ({
      code: `import '@mantine/core/styles/${basename(id, '.module.mjs')}.css';\n${code}`,
      map: null,
      moduleSideEffects: false,
    }),
  },
};

/** While it is worked on, the library is one bundle, and so are its styles. */
const allStyles = {
  name: 'lowrank:mantine-styles-all',
  apply: 'serve',
  transform: {
    filter: { id: /apps\/dashboard\/src\/main\.tsx$/ },
    handler: (code) => ({ code: `import '@mantine/core/styles.css';\n${code}`, map: null }),
  },
};

export default {
  plugins: [stylesOfComponents, allStyles],
  root: fileURLToPath(new URL('.', import.meta.url)),
  configFile: false,
  resolve: { alias: { '@lowrank/contracts': `${contracts}index.ts` } },
  server: { proxy: passOn },
  build: {
    target: 'es2022',
    manifest: true,
    modulePreload: { polyfill: false },
    // Everything is from here (Content-Security-Policy), so that nothing is written into the page itself.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    rolldownOptions: {
      output: {
        // Every file is a request, which takes a slow machine longer than the bytes in it: what every page needs is one, and what many
        // pages need is few.
        codeSplitting: {
          groups: [
            { name: 'base', tags: ['$initial'], priority: 2 },
            { name: 'often', minShareCount: 12, priority: 1 },
          ],
        },
      },
      // `use client` at the top of modules is for servers that render; there is none.
      onLog: (level, log, handle) => log.code === 'MODULE_LEVEL_DIRECTIVE' || handle(level, log),
      treeshake: {
        // Contracts and components are declarations: a module of which nothing is used is left out, and so are its styles.
        moduleSideEffects: (id) =>
          id.endsWith('.css') || !(id.startsWith(contracts) || /\/node_modules\/(zod|@mantine)\//.test(id)),
      },
    },
  },
};
