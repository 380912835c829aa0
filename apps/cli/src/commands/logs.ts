import { type JobLogLine } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { paint, print } from '../terminal';
import { untilInterrupted } from '../watch/watch-job';

export function addLogsCommand(program: Command): void {
  program
    .command('logs')
    .description("print what a job's trainers have logged")
    .argument('<job>', 'id of the job')
    .option('-f, --follow', 'go on until the job ends')
    .action(async (id: string, { follow }: { follow?: boolean }, command: Command) => {
      const api = connect(command);
      if (!follow) {
        for await (const line of api.log(id)) print(formatLogLine(line));
        return;
      }
      await untilInterrupted(
        async (signal) => {
          for await (const item of api.stream(id, signal))
            if (item.event === 'log') print(formatLogLine(item.data));
        },
        { what: `job ${id}`, again: `lowrank logs -f ${id}` },
      );
    });
}

/** `2026-01-01T12:00:00.000Z #2 warn  slow disk`; the attempt's number from the second on. */
export function formatLogLine({ at, epoch, level, message }: JobLogLine): string {
  const attempt = epoch > 1 ? ` #${epoch}` : '';
  const text = `${at}${attempt} ${level.padEnd(5)} ${message}`;
  if (level === 'info') return text;
  return paint(level === 'error' ? 'red' : level === 'warn' ? 'yellow' : 'dim', text);
}
