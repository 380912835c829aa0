import { resolve } from 'node:path';

/** Absolute path of the folder that holds package.json, from the sources as from `dist/`, which mirrors them. */
export const repositoryRoot = (() => {
  const above = resolve(__dirname, '../../..');
  return above.endsWith('/dist') ? resolve(above, '..') : above;
})();
