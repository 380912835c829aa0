// node --require tools/typescript.cjs: lets a process or thread require the repository's TypeScript sources. jest.config.mjs puts
// it into NODE_OPTIONS, so that threads and trainers which a test starts run from the same sources as the test. CommonJS, because
// with --import Node would load a .ts entry as an ES module.
// What a source compiles to is kept by its content: tests start hundreds of processes, each of which needs a hundred sources.
/* global require, __dirname, process */
/* eslint-disable @typescript-eslint/no-require-imports */
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { threadId } = require('node:worker_threads');
const { version } = require('@swc/core/package.json');

const root = join(__dirname, '..');
const kept = join(root, 'node_modules/.cache/lowrank-typescript');
const settings = ['.swcrc', 'tsconfig.base.json'].map((name) => readFileSync(join(root, name), 'utf8'));
let options;

function compile(source, filename) {
  if (options === undefined) {
    const [swcrc, tsconfig] = settings.map((text) => JSON.parse(text));
    const { paths } = tsconfig.compilerOptions;
    options = {
      ...swcrc,
      $schema: undefined,
      swcrc: false,
      sourceMaps: 'inline',
      jsc: { ...swcrc.jsc, baseUrl: root, paths },
    };
  }
  return require('@swc/core').transformSync(source, { ...options, filename }).code;
}

/** Contents of a file, or undefined where there is none. */
function readIfThere(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Whole or not at all. Whoever may not write there compiles anew each time. */
function keep(file, code) {
  const part = `${file}.${process.pid}-${threadId}`;
  try {
    mkdirSync(kept, { recursive: true });
    writeFileSync(part, code);
    renameSync(part, file);
  } catch (error) {
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  }
}

require.extensions['.ts'] = (module, filename) => {
  const source = readFileSync(filename, 'utf8');
  const key = createHash('sha256')
    .update([version, ...settings, filename, source].join('\0'))
    .digest('hex');
  const file = join(kept, `${key}.js`);
  let code = readIfThere(file);
  if (code === undefined) {
    code = compile(source, filename);
    keep(file, code);
  }
  module._compile(code, filename);
};
