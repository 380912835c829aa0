import { rangeOf } from './range';

const etag = '"abc"';
const of = (range?: string, ifRange?: string) =>
  rangeOf({ range, ...(ifRange === undefined ? {} : { 'if-range': ifRange }) }, etag, 100);

it.each([
  [undefined, 0, 100],
  ['bytes=0-', 0, 100],
  ['bytes=10-', 10, 100],
  ['bytes=10-19', 10, 20],
  ['bytes=90-1000', 90, 100],
  ['bytes=-5', 95, 100],
  ['bytes=-500', 0, 100],
  ['bytes=0-1,5-6', 0, 100],
  ['bytes=9-2', 0, 100],
  ['bytes=-', 0, 100],
  ['items=0-1', 0, 100],
])('%s is [%d, %d) of 100 bytes', (range, start, end) => expect(of(range)).toEqual({ start, end }));

it.each(['bytes=100-', 'bytes=200-300', 'bytes=-0'])('%s is none of 100 bytes', (range) =>
  expect(of(range)).toBeNull(),
);

it('asks for all when the file is another by now', () => {
  expect(of('bytes=10-', '"other"')).toEqual({ start: 0, end: 100 });
  expect(of('bytes=10-', etag)).toEqual({ start: 10, end: 100 });
});
