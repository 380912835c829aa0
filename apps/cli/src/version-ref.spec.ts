import { parseVersionRef } from './version-ref';

describe('parseVersionRef', () => {
  it.each([
    ['support', { adapter: 'support', number: null }],
    ['support@v3', { adapter: 'support', number: 3 }],
    ['support@12', { adapter: 'support', number: 12 }],
    ['support@latest', { adapter: 'support', number: 'latest' }],
  ])('reads %s', (text, ref) => expect(parseVersionRef(text)).toEqual(ref));

  it.each(['Support', '../etc', 'support@', 'support@v0', 'support@v1x', 'support@1@2', ''])(
    'refuses %j',
    (text) => expect(() => parseVersionRef(text)).toThrow(/is not/),
  );
});
