import { linesOf, numbersOf, targetsOf } from './lists';

it.each<[string, string | string[]]>([
  ['all-linear', 'all-linear'],
  ['q_proj', ['q_proj']],
  ['q_proj, v_proj', ['q_proj', 'v_proj']],
  ['.*[02].q_proj', '.*[02].q_proj'],
  [' ', []],
])('reads targets %j', (text, targets) => expect(targetsOf(text)).toEqual(targets));

it.each<[string, (number | string)[]]>([
  ['', []],
  ['0, 2,', [0, 2]],
  ['1, 4-7, 0.5', [1, 4, 5, 6, 7, 0.5]],
  ['3-3', [3]],
  ['7-4', ['7-4']],
  ['0-999999999', ['0-999999999']],
  ['two', ['two']],
])('reads numbers %j', (text, numbers) => expect(numbersOf(text)).toEqual(numbers));

it('reads lines', () => expect(linesOf(' Ahoy? \n\nWho, then?')).toEqual(['Ahoy?', 'Who, then?']));
