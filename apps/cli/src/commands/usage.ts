import { type UsageRow } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { time } from '../option-values';
import { print, printTable } from '../terminal';

interface UsageOptions {
  by: string;
  since?: string;
  until?: string;
  teams?: boolean;
  json?: boolean;
}

const day = (text: string): string => time(text).slice(0, 10);

const toRow = ({ team, day: on, actor, model, requests, tokens }: UsageRow): string[] => [
  ...(team === null ? [] : [team.name]),
  ...(on === null ? [] : [on]),
  ...(actor === null ? [] : [`${actor.name} (${actor.type})`]),
  ...(model === null ? [] : [model]),
  ...[requests, tokens.prompt, tokens.cached, tokens.completion].map(String),
];

/** Tokens that completions have taken. */
export function addUsageCommand(program: Command): void {
  program
    .command('usage')
    .description('show how many tokens completions have taken this month, some seconds late')
    .option('--by <what>', 'told apart by day, actor, model, or several with commas between', 'day')
    .option('--since <day>', 'from that day on, e.g. 2026-11-01', day)
    .option('--until <day>', 'up to that day', day)
    .option('--teams', 'of all teams, for the operator')
    .option('--json', 'as the API has it')
    .action(async ({ teams = false, json, ...query }: UsageOptions, command: Command) => {
      const report = await connect(command).team.usage({ ...query, all: teams });
      if (json) return print(JSON.stringify(report));
      const { data, since, until, total } = report;
      if (data.length === 0) return print(`Nothing from ${since} to ${until}.`);
      const [{ team, day: on, actor, model }] = data as [UsageRow];
      const named = [
        [team, 'TEAM'],
        [on, 'DAY (UTC)'],
        [actor, 'WHO'],
        [model, 'MODEL'],
      ].filter(([value]) => value !== null) as [unknown, string][];
      const sums = [total.requests, total.tokens.prompt, total.tokens.cached, total.tokens.completion].map(
        String,
      );
      printTable(
        [...named.map(([, name]) => name), 'REQUESTS', 'PROMPT', 'CACHED', 'COMPLETION'],
        [...data.map(toRow), [...named.map((_, i) => (i === 0 ? 'total' : '')), ...sums]],
      );
    });
}
