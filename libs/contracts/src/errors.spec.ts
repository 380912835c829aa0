import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorBodySchema, errorCatalog, LowrankError } from './errors';

const page = readFileSync(join(__dirname, '../../../docs/errors.md'), 'utf8').replace(/\\([_*])/g, '$1');
const sections = new Map(
  page
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const [title = '', ...rest] = section.split('\n');
      return [title, rest.join('\n').trim()];
    }),
);

describe('docs/errors.md', () => {
  it('has a section per code and none besides, in the order of the catalog', () => {
    expect([...sections.keys()]).toEqual(Object.keys(errorCatalog));
  });

  it.each(Object.entries(errorCatalog))('says of %s what the catalog says', (code, { status, help }) => {
    expect(sections.get(code)?.split('\n\n')[0]).toBe(`Status ${status}. ${help}`);
  });
});

describe('LowrankError', () => {
  it('becomes a body of the contract', () => {
    const error = new LowrankError('dataset_invalid', 'Line 3 is broken.', [
      { line: 3, message: 'not JSON' },
    ]);
    const body = error.toBody('r-1');
    expect(errorBodySchema.parse(body)).toEqual(body);
    expect(error.status).toBe(422);
    expect(body.error).toMatchObject({ help: errorCatalog.dataset_invalid.help, requestId: 'r-1' });
  });
});
