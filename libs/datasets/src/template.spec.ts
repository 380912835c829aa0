import { type ChatMessage, LowrankError } from '@lowrank/contracts';
import { tinyTemplate } from '@lowrank/testing';
import { createHash } from 'node:crypto';
import { compileTemplate } from './template';

const messages: ChatMessage[] = [
  { role: 'system', content: 'Be kind.' },
  { role: 'user', content: 'Hi' },
];
const render = (source: string, given = messages): string => compileTemplate(source, {}).render(given);

/** Grows ns.x by doubling `times` times. */
const doubled = (seed: string, grow: string, times: number): string =>
  `{% set ns = namespace(x=${seed}) %}{% for i in range(${times}) %}{% set ns.x = ${grow} %}{% endfor %}`;

function refusal(work: () => unknown): LowrankError {
  try {
    work();
  } catch (error) {
    if (error instanceof LowrankError) return error;
    throw error;
  }
  throw new Error('expected a LowrankError');
}

describe('compileTemplate', () => {
  it('renders messages and special tokens, with and without generation prompt', () => {
    const { render: chatMl } = compileTemplate(tinyTemplate, { bos_token: '<s>' });
    const text = '<s><|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n';
    expect(chatMl(messages)).toBe(text);
    expect(chatMl(messages, { addGenerationPrompt: true })).toBe(`${text}<|im_start|>assistant\n`);
    expect(chatMl([])).toBe('<s>');
  });

  it.each([
    ['{{ messages[0]["content"] | trim | upper }}', 'BE KIND.'],
    ['{% for m in messages if m.role == "user" %}{{ loop.index0 }}{{ m.content }}{% endfor %}', '0Hi'],
    ['{% for m in messages %}{{ loop.last }};{% endfor %}', 'false;true;'],
    ['{% if True and not none and not False %}{{ range(1, 7, 2) | join(",") }}{% endif %}', '1,3,5'],
    [
      '{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}',
      '3',
    ],
    ['{% set rest = messages[1:] %}{{ rest | length }}{{ rest[0].content }}', '1Hi'],
    ['{% if messages[5] is defined %}x{% endif %}{{ tools }}{{ bos_token }}', ''],
    [
      '{{ messages | tojson }}',
      '[{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]',
    ],
    ['{% macro say(m) %}<{{ m.role }}>{% endmacro %}{{ say(messages[0]) }}', '<system>'],
  ])('renders %s', (source, text) => expect(render(source)).toBe(text));

  it.each(['messages', 'messages[0]', '"a"', 'range'])('shows nothing of JavaScript behind %s', (name) => {
    for (const member of ['constructor', '__proto__', 'prototype'])
      expect(render(`{{ ${name}["${member}"] }}{{ ${name}.${member} }}`)).toBe('');
    for (const global of ['process', 'require', 'globalThis']) expect(render(`{{ ${global} }}`)).toBe('');
  });

  it('shows no clock', () => {
    expect(() => render('{{ strftime_now("%Y") }}')).toThrow(LowrankError);
  });

  it('starts every rendering afresh', () => {
    const counted = compileTemplate(`{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}`, {});
    expect([counted.render(messages), counted.render(messages)]).toEqual(['1', '1']);
  });

  it("hashes the template's text, whatever the special tokens", () => {
    const { sha256 } = compileTemplate(tinyTemplate, { bos_token: '<s>' });
    expect(sha256).toBe(createHash('sha256').update(tinyTemplate).digest('hex'));
    expect(compileTemplate(tinyTemplate, {}).sha256).toBe(sha256);
    expect(compileTemplate(`${tinyTemplate} `, {}).sha256).not.toBe(sha256);
  });

  it('renders a conversation much larger than the limit on what a template may add', () => {
    const content = 'word '.repeat(800_000);
    const long = [...messages, { role: 'user' as const, content }];
    expect(render('{% for m in messages %}{{ m.content }}{% endfor %}', long)).toBe(`Be kind.Hi${content}`);
  });

  it('renders 1,000 messages, looking at all of them for each', () => {
    const many = Array.from({ length: 1000 }, () => messages[1] as ChatMessage);
    const source =
      '{% for m in messages %}{{ messages[loop.index0].content }}{{ messages | length }}{% endfor %}';
    expect(render(source, many)).toHaveLength(6000);
  });

  it.each([
    ['{{ raise_exception("roles must alternate") }}', /roles must alternate/],
    ['{{ messages[9].content.upper() }}', /fails/],
    ['{{ nothing() }}', /fails/],
    ['{{ 1 | nosuchfilter }}', /nosuchfilter/],
    [`{{ raise_exception("${'x'.repeat(5000)}") }}`, /x{200}/],
  ])('refuses what throws: %.50s', (source, message) => {
    const error = refusal(() => render(source));
    expect(error.code).toBe('base_model_invalid');
    expect(error.message).toMatch(message);
    expect(error.message.length).toBeLessThan(400);
  });

  it.each([
    ['an open tag', '{% for m in messages %}'],
    ['an open expression', '{{ messages'],
    ['an open comment', '{# a'],
    ['an unknown tag', '{% import os %}'],
    ['parentheses without end', `{{ ${'('.repeat(50_000)}`],
    ['tags without end', '{% if a %}'.repeat(10_000)],
    ['more text than any template', 'x'.repeat((256 << 10) + 1)],
    ['white space that the parser would take minutes for', ' \n'.repeat(100_000)],
  ])('refuses %s before rendering, soon', (_case, source) => {
    const begun = performance.now();
    expect(refusal(() => compileTemplate(source, {})).code).toBe('base_model_invalid');
    // A generous multiple: without its limits the parser takes minutes.
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  it.each([
    ['a range', '{{ range(10001) | length }}'],
    ['an endless range', '{% for i in range(0, 10, 0) %}{% endfor %}'],
    ['a range without numbers', '{% for i in range("a") %}{% endfor %}'],
    ['a string', `${doubled("'a'", 'ns.x + ns.x', 40)}`],
    ['a list', `${doubled('[1]', 'ns.x + ns.x', 40)}`],
    ['a list of itself twice', `${doubled('[1]', '[ns.x, ns.x]', 40)}{{ ns.x }}`],
    ['an object of itself twice', `${doubled('1', '{"a": ns.x, "b": ns.x}', 40)}{{ ns.x | tojson }}`],
    [
      'namespaces filled after they were listed',
      Array.from(
        { length: 30 },
        (_, i) => `{% set n${i} = namespace(x=1) %}{% set l${i} = [n${i}, n${i}] %}`,
      ).join('') +
        Array.from({ length: 29 }, (_, i) => `{% set n${i}.x = l${i + 1} %}`).join('') +
        '{{ l0 }}',
    ],
    ['a namespace in itself', '{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}'],
    ['replaced text', `${doubled("'a'", 'ns.x + ns.x', 19)}{{ ns.x | replace('a', ns.x) }}`],
    ['indented text', "{{ 'a\nb' | indent(20000000) }}"],
    ['the output', `${doubled("'a'", 'ns.x + ns.x', 19)}{% for i in range(5) %}{{ ns.x }}{% endfor %}`],
    ['recursion', '{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}'],
  ])('refuses %s that grows too large', (_case, source) => {
    expect(refusal(() => render(source)).code).toBe('base_model_invalid');
  });

  it.each([
    ['loops in loops', '{% for i in range(10000) %}'.repeat(3) + '{{ i }}' + '{% endfor %}'.repeat(3)],
    [
      'a loop over a long list in a loop over it',
      `${doubled('[1]', 'ns.x + ns.x', 16)}{% for i in ns.x %}{% for j in ns.x %}{% endfor %}{% endfor %}`,
    ],
  ])('stops %s', (_case, source) => {
    expect(refusal(() => render(source)).message).toMatch(/longer than 1000 ms/);
  });
});
