// node --require tools/typescript.cjs: lets a process or thread require the repository's TypeScript sources. jest.config.mjs puts
// it into NODE_OPTIONS, so that threads and trainers which a test starts run from the same sources as the test. CommonJS, because
// with --import Node would load a .ts entry as an ES module.
/* global require, __dirname */
/* eslint-disable @typescript-eslint/no-require-imports */
const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const readJson = (name) => JSON.parse(readFileSync(join(root, name), 'utf8'));
let options;

require.extensions['.ts'] = (module, file) => {
  if (options === undefined) {
    const swcrc = readJson('.swcrc');
    const { paths } = readJson('tsconfig.base.json').compilerOptions;
    options = {
      ...swcrc,
      $schema: undefined,
      swcrc: false,
      sourceMaps: 'inline',
      jsc: { ...swcrc.jsc, baseUrl: root, paths },
    };
  }
  module._compile(require('@swc/core').transformFileSync(file, options).code, file);
};
