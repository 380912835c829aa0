import { type Command } from 'commander';
import { makeProgram } from './main';

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];
const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
const commands = everyCommand(makeProgram()).map((command): [string, Command] => [pathOf(command), command]);

describe('lowrank', () => {
  it.each(commands)('%s --help says what it does and what every option is for', (_, command) => {
    expect(command.helpInformation()).toContain('Usage: lowrank');
    expect(command.description()).toMatch(/.{15}/);
    for (const option of command.options)
      expect(`${option.long} ${option.description}`).toMatch(/^--\S+ .{4}/);
  });

  it.each([
    [['chat', '--adapter', 'x', '--seed', '1.5'], /--seed.*whole number/],
    [['chat', '--adapter', 'x', '--max-tokens', 'many'], /--max-tokens.*number/],
    [['submit', 'x.jsonl', '--base', 'b'], /--adapter/],
    [['submit', 'job.yaml', '--rank', '4'], /job\.yaml says all of the job; --rank/],
    [['submit', 'x.jsonl', '--base', 'b', '--adapter', 'a', '--lr', 'fast'], /--lr.*number/],
    [['priority', 'job_x', '1000'], /-100 to 100/],
    [['pause'], /missing required argument 'job'/],
    [['sweep', 'submit', 'x.jsonl', '--base', 'b', '--adapter', 'a'], /--set/],
    [
      ['sweep', 'submit', 'x.jsonl', '--base', 'b', '--adapter', 'a', '--set', 'lora.rank'],
      /--set.*field=values/,
    ],
    [['fly'], /unknown command 'fly'/],
  ])('%j is refused', async (args, message) => {
    const program = makeProgram();
    let written = '';
    for (const command of everyCommand(program))
      command.exitOverride().configureOutput({ writeErr: (text) => (written += text) });
    await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow();
    expect(written).toMatch(message);
  });
});
