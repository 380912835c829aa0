// How the dashboard is built, and served while it is worked on: `npx vite apps/dashboard` passes the API on to LOWRANK_URL.
import { fileURLToPath } from 'node:url';
import { mantineStyles } from './mantine-styles.mjs';

const contracts = fileURLToPath(new URL('../../libs/contracts/src/', import.meta.url));
const target = process.env.LOWRANK_URL ?? 'http://127.0.0.1:7380';
const passOn = Object.fromEntries(['/api', '/v1', '/health', '/docs'].map((path) => [path, { target }]));

export default {
  root: fileURLToPath(new URL('.', import.meta.url)),
  configFile: false,
  plugins: [mantineStyles()],
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
      // `use client` at the top of modules is for servers that render; there is none.
      onLog: (level, log, handle) => log.code === 'MODULE_LEVEL_DIRECTIVE' || handle(level, log),
      treeshake: {
        // Contracts are declarations: a module of which nothing is used is left out.
        moduleSideEffects: (id) => !id.startsWith(contracts) && !id.includes('/node_modules/zod/'),
      },
    },
  },
};
