import { StopFilter } from './stops';

const through = (stops: string[], pieces: string[]) => {
  const filter = new StopFilter(stops);
  const shown = pieces.map((piece) => filter.push(piece));
  return { shown, rest: filter.end(), stopped: filter.stopped };
};

describe('StopFilter', () => {
  it.each([
    ['no stop strings', [], ['a', 'b'], ['a', 'b'], '', false],
    ['one within a piece', ['END'], ['say END now'], ['say '], '', true],
    ['one over three pieces', ['END'], ['say E', 'N', 'D now'], ['say ', '', ''], '', true],
    ['a beginning that goes on otherwise', ['END'], ['EN', 'ough'], ['', 'ENough'], '', false],
    ['a beginning at the end', ['END'], ['say E', 'N'], ['say ', ''], 'EN', false],
    ['the first of two', ['two', 'one'], ['one two'], [''], '', true],
    ['one that overlaps itself', ['aab'], ['aa', 'ab!'], ['', 'a'], '', true],
    ['nothing after the stop', ['.'], ['a.', 'b'], ['a', ''], '', true],
  ])('%s', (_name, stops, pieces, shown, rest, stopped) => {
    expect(through(stops, pieces)).toEqual({ shown, rest, stopped });
  });
});
