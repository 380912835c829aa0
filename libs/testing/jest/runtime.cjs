// Jest gives each test file a realm of its own and compiles every module anew for it: two thousand of them for a file that starts the API.
// What a module compiles to is the same in every realm, so each process compiles it once. Only code: no state is shared.
/* global require, module */
/* eslint-disable @typescript-eslint/no-require-imports */
const { Script } = require('node:vm');
const { default: Runtime } = require('jest-runtime');

/** By file name, with the source: a test may mock or rewrite a file. */
const compiled = new Map();

module.exports = class extends Runtime {
  createScriptFromCode(source, filename) {
    const context = this._environment.getVmContext();
    // Jest knows what to do where a file has ended, where a module imports while it runs, and of syntax errors.
    if (context === null || source.includes('import(')) return super.createScriptFromCode(source, filename);
    let known = compiled.get(filename);
    if (known?.source !== source) {
      const head = `(function (${this.constructInjectedModuleParameters().join()}) {`;
      try {
        const script = new Script(`${head}${source}\n})`, { filename, columnOffset: -head.length });
        known = { source, script };
      } catch {
        return super.createScriptFromCode(source, filename);
      }
      compiled.set(filename, known);
    }
    return known.script.runInContext(context);
  }
};
