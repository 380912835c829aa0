import { inOrderOfTime } from './time-order';

const list = (times: string, isWhole = true) => ({
  items: [...times].map((at) => ({ data: { at } })),
  isWhole,
});
const order = (...lists: ReturnType<typeof list>[]) =>
  [...inOrderOfTime(lists)].map(({ data }) => data.at).join('');

describe('inOrderOfTime', () => {
  it('puts lists together by time', () =>
    expect(order(list('147'), list('258'), list('36'))).toBe('12345678'));

  it('keeps the order of a list whose clock went back', () =>
    expect(order(list('193'), list('2'))).toBe('1293'));

  it('ends where a list runs out that has more', () => {
    expect(order(list('14', false), list('2359'))).toBe('1234');
    expect(order(list('', false), list('2'))).toBe('');
  });

  it('takes the first list first where times are equal', () => {
    const named = (name: string) => ({ items: [{ data: { at: '1' }, name }], isWhole: true });
    expect([...inOrderOfTime([named('a'), named('b')])].map(({ name }) => name)).toEqual(['a', 'b']);
  });
});
