// One Jest for the whole tree: tests lie beside their sources and need nothing that is not installed by npm.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { paths } from './scripts/aliases.mjs';

const swc = JSON.parse(readFileSync(new URL('.swcrc', import.meta.url), 'utf8'));
const esmOnly = ['@huggingface/hub', '@huggingface/tokenizers', '@huggingface/jinja', 'hyparquet', 'jose'];

// Threads and processes started by tests run from the TypeScript sources too.
const register = `--require "${fileURLToPath(new URL('tools/typescript.cjs', import.meta.url))}"`;
if (!process.env.NODE_OPTIONS?.includes(register))
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} ${register}`.trim();

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/apps', '<rootDir>/libs', '<rootDir>/tools'],
  testMatch: ['**/*.spec.ts'],
  moduleNameMapper: Object.fromEntries(
    Object.entries(paths).map(([alias, [file]]) => [`^${alias}$`, `<rootDir>/${file}`]),
  ),
  transform: { '^.+\\.(ts|m?js)$': ['@swc/jest', { ...swc, $schema: undefined, sourceMaps: 'inline' }] },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnly.join('|')})/)`],
  globalSetup: '<rootDir>/libs/testing/jest/global-setup.mjs',
  globalTeardown: '<rootDir>/libs/testing/jest/global-teardown.mjs',
  runtime: '<rootDir>/libs/testing/jest/runtime.cjs',
  testSequencer: '<rootDir>/libs/testing/jest/sequencer.mjs',
  testTimeout: 60_000,
  // One more than the two processors that a machine has at least: many tests wait for processes, timers and Postgres.
  maxWorkers: 3,
  // What files leave behind in a process makes its garbage collections longer from file to file.
  workerIdleMemoryLimit: '1GB',
  forceExit: false,
};
