import { numbers } from '../test/machines';
import { CallParser, type Said } from './call-parser';
import { collected } from './tools';

const hermes = { mark: '<tool_call>', endMark: '</tool_call>' };
const bare = { mark: '', endMark: '' };
const isKnown = (name: string) => ['add', 'get_time'].includes(name);

/** What comes out, the same however the text is cut to pieces. */
function told(marks: typeof hermes, text: string): { text: string; calls: [string, string][] } {
  const next = numbers(text.length + 3);
  const results = Array.from({ length: 20 }, (_, round) => {
    const parser = new CallParser(marks, isKnown);
    const said: Said[] = [];
    for (let at = 0; at < text.length;) {
      const length = round === 0 ? text.length : round === 1 ? 1 : 1 + Math.floor(next() * 9);
      said.push(...parser.push(text.slice(at, at + length)));
      at += length;
    }
    said.push(...parser.end());
    const { text: rest, calls } = collected(said);
    expect(parser.count).toBe(calls.length);
    return {
      text: rest,
      calls: calls.map((call): [string, string] => [call.function.name, call.function.arguments]),
    };
  });
  for (const result of results) expect(result).toEqual(results[0]);
  return results[0] as (typeof results)[number];
}
const call = (name: string, json: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${json}}\n</tool_call>`;

it.each<[string, typeof hermes, string, string, [string, string][]]>([
  ['text', hermes, 'a < b, <tool>\n ', 'a < b, <tool>\n ', []],
  ['a call', hermes, call('add', '{"a": 1}'), '', [['add', '{"a": 1}']]],
  ['a call after text', hermes, `Let me see.\n${call('add', '{}')}`, 'Let me see.', [['add', '{}']]],
  [
    'several calls, with anything in strings',
    hermes,
    `\n${call('add', '{"a": "}\\"</tool_call>{", "b": [{}]}')}\n${call('get_time', '{}')}\n`,
    '',
    [
      ['add', '{"a": "}\\"</tool_call>{", "b": [{}]}'],
      ['get_time', '{}'],
    ],
  ],
  ['a function that there is not', hermes, call('rm', '{}'), call('rm', '{}'), []],
  ['what is no call', hermes, '<tool_call>hello</tool_call> bye', '<tool_call>hello</tool_call> bye', []],
  ['a call that is cut off', hermes, call('add', '{"a": 1}').slice(0, -16), '', [['add', '{"a": ']]],
  ['a beginning that is cut off', hermes, 'so <tool_call>\n{"na', 'so<tool_call>\n{"na', []],
  [
    'a call without marks',
    bare,
    ' {"name": "add", "parameters": {"a": {"b": 2}}}',
    '',
    [['add', '{"a": {"b": 2}}']],
  ],
  ['JSON that is no call', bare, '{"answer": 42}', '{"answer": 42}', []],
  [
    'text that has JSON',
    bare,
    'So {"name": "add", "parameters": {}}',
    'So {"name": "add", "parameters": {}}',
    [],
  ],
])('tells %s', (_what, marks, text, rest, calls) => {
  expect(told(marks, text)).toEqual({ text: rest, calls });
});
