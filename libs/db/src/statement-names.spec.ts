import { statementNames } from './statement-names';

it('gives a statement one name, and none when there are too many', () => {
  const nameOf = statementNames(2);
  const names = ['a', 'b', 'c', 'a', 'b', 'c'].map((sql) => nameOf({ sql }));
  expect(names[0]).not.toBe(names[1]);
  expect(names).toEqual([names[0], names[1], '', names[0], names[1], '']);
});
