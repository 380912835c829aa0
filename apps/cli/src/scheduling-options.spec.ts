import { Command } from 'commander';
import { addSchedulingOptions, makeScheduling } from './scheduling-options';

const parse = (...args: string[]) =>
  makeScheduling(
    addSchedulingOptions(new Command())
      .exitOverride()
      .configureOutput({ writeErr: () => undefined })
      .parse(args, { from: 'user' })
      .opts(),
  );

describe('makeScheduling', () => {
  it('sends only what was given', () => {
    expect(parse()).toEqual({});
    expect(parse('--priority', '-5', '--memory', '1.5')).toEqual({
      priority: -5,
      placement: { memoryBytes: 1_500_000_000 },
    });
  });

  it('takes several device classes, and times in any zone', () => {
    const times = ['--not-before', '2026-12-24T18:00:00+01:00', '--deadline', '2026-12-25'];
    expect(parse('--device', 'h100', 'a100', ...times)).toEqual({
      placement: { deviceClasses: ['h100', 'a100'] },
      notBefore: '2026-12-24T17:00:00.000Z',
      deadline: '2026-12-25T00:00:00.000Z',
    });
  });

  it.each([
    ['--priority', '101'],
    ['--priority', '1.5'],
    ['--priority', ''],
    ['--memory', '0'],
    ['--deadline', 'soon'],
  ])('refuses %s %s', (...args) => expect(() => parse(...args)).toThrow(/must be/));
});
