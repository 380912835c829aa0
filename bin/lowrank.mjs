#!/usr/bin/env node
// The `lowrank` command: runs the compiled CLI in dist/.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/apps/cli/src/main.js', import.meta.url));
if (existsSync(main)) {
  createRequire(import.meta.url)(main).main(process.argv);
} else {
  process.stderr.write('lowrank is not built yet: run "npm run setup" in its folder first.\n');
  process.exitCode = 1;
}
