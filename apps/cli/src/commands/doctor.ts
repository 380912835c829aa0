import { describeConfig, loadConfig } from '@lowrank/config';
import { type Command } from 'commander';
import { checks, type Finding } from '../doctor/checks';
import { CliError } from '../errors';
import { paint, print } from '../terminal';

const marks = {
  ok: () => paint('green', '✓'),
  warn: () => paint('yellow', '!'),
  fail: () => paint('red', '✗'),
} as const;

export function addDoctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look at this machine and its configuration, and say what to do about what is wrong')
    .action(async () => {
      const config = loadConfig();
      const findings: Finding[] = [];
      for (const { name, look } of checks) {
        const finding = await look(config);
        findings.push(finding);
        print(`${marks[finding.level]()} ${name.padEnd(9)} ${finding.message}`);
        if (finding.help) print(`            → ${finding.help}`);
      }
      print(paint('bold', '\nConfiguration'));
      print(JSON.stringify(describeConfig(config), null, 2));
      const failed = findings.filter(({ level }) => level === 'fail').length;
      if (failed > 0) throw new CliError(`${failed} of ${findings.length} checks failed`);
    });
}
