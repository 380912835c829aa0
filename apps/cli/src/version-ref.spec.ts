import { parseAlias, parseSharedRef, parseVersionRef } from './version-ref';

describe('parseVersionRef', () => {
  it.each([
    ['support', { adapter: 'support', version: null }],
    ['support@v3', { adapter: 'support', version: 'v3' }],
    ['support@12', { adapter: 'support', version: '12' }],
    ['support@latest', { adapter: 'support', version: 'latest' }],
    ['support@prod', { adapter: 'support', version: 'prod' }],
  ])('reads %s', (text, ref) => expect(parseVersionRef(text)).toEqual(ref));

  it.each(['Support', '../etc', 'support@', 'support@v0', 'support@0', 'support@1@2', 'support@Prod', ''])(
    'refuses %j',
    (text) => expect(() => parseVersionRef(text)).toThrow(/is not/),
  );
});

describe('parseSharedRef', () => {
  it.each([
    ['support@v3', { team: null, adapter: 'support', version: 'v3' }],
    ['research/support', { team: 'research', adapter: 'support', version: null }],
    ['research/support@prod', { team: 'research', adapter: 'support', version: 'prod' }],
  ])('reads %s', (text, ref) => expect(parseSharedRef(text)).toEqual(ref));

  it.each(['/support', 'a/b/support', 'Research/support', 'research/', '../support'])('refuses %j', (text) =>
    expect(() => parseSharedRef(text)).toThrow(/is not/),
  );
});

describe('parseAlias', () => {
  it('reads an alias', () =>
    expect(parseAlias('support@prod')).toEqual({ adapter: 'support', alias: 'prod' }));

  it.each([
    'support',
    'support@v3',
    'support@7',
    'support@latest',
    'support@main',
    `support@${'a'.repeat(40)}`,
  ])('refuses %j, which says a version by itself', (text) =>
    expect(() => parseAlias(text)).toThrow(/is not an alias/),
  );
});
