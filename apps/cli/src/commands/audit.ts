import { type Action, actions, type AuditEntry } from '@lowrank/contracts';
import { type Command, Option } from 'commander';
import { connect } from '../connect';
import { time, whole } from '../option-values';
import { print, printTable } from '../terminal';

interface AuditOptions {
  actor?: string;
  action?: Action;
  target?: string;
  request?: string;
  since?: string;
  until?: string;
  limit: number;
  json?: boolean;
}

const toRow = ({ at, actor, action, change, target, details }: AuditEntry): string[] => [
  at.slice(0, 19).replace('T', ' '),
  `${actor.name} (${actor.type})`,
  action,
  change,
  [target.kind, target.name ?? target.id].join(' '),
  Object.entries(details)
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(' '),
];

/** What callers have changed; for admins. */
export function addAuditCommand(program: Command): void {
  program
    .command('audit')
    .description('show what was changed in your team, by whom and how, newest first')
    .option('--actor <id>', 'by this key or user')
    .addOption(
      new Option('--action <action>', 'as this action, e.g. jobs.control').choices(Object.keys(actions)),
    )
    .option('--target <id or name>', 'to this')
    .option('--request <id>', 'by the request with this x-request-id')
    .option('--since <time>', 'from then on, e.g. 2026-11-01 or 2026-11-01T12:00:00Z', time)
    .option('--until <time>', 'before then', time)
    .option('--limit <count>', 'at most so many', whole, 50)
    .option('--json', 'one entry a line, as the API has it')
    .action(async ({ json, ...query }: AuditOptions, command: Command) => {
      const entries = await connect(command).team.audit(query);
      if (json) for (const entry of entries) print(JSON.stringify(entry));
      else if (entries.length === 0) print('Nothing.');
      else printTable(['WHEN (UTC)', 'WHO', 'ACTION', 'CHANGE', 'WHAT', 'DETAILS'], entries.map(toRow));
    });
}
