import { defined, textOf, wordOf } from './search';

it('reads text however the router has read the address', () => {
  expect([textOf('a'), textOf(3), textOf(true), textOf(''), textOf({}), textOf(undefined)]).toEqual([
    'a',
    '3',
    'true',
    undefined,
    undefined,
    undefined,
  ]);
});

it('knows only words that it was told', () => {
  expect([wordOf('loss', ['loss', 'name']), wordOf('other', ['loss', 'name'])]).toEqual(['loss', undefined]);
});

it('leaves out what is not set', () => {
  expect(defined({ a: 1, b: undefined, c: null })).toEqual({ a: 1, c: null });
});
