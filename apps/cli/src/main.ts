import { Command, Option } from 'commander';
import { addAdapterCommands } from './commands/adapters';
import { addAliasCommands } from './commands/aliases';
import { addAuditCommand } from './commands/audit';
import { addUsageCommand } from './commands/usage';
import { addChatCommand } from './commands/chat';
import { addCombineCommand } from './commands/combine';
import { addControlCommands } from './commands/control';
import { addDataCommands } from './commands/data';
import { addDoctorCommand } from './commands/doctor';
import { addEstimateCommand } from './commands/estimate';
import { addGrantCommands } from './commands/grants';
import { addEvaluateCommands } from './commands/evaluate';
import { addExportCommands } from './commands/export';
import { addJobCommands } from './commands/jobs';
import { addKeyCommands } from './commands/keys';
import { addLogsCommand } from './commands/logs';
import { addRunCommands } from './commands/runs';
import { addMemberCommands } from './commands/members';
import { addMigrateCommand } from './commands/migrate';
import { addModelCommands } from './commands/models';
import { addServeCommands } from './commands/serve';
import { addSubmitCommand } from './commands/submit';
import { addSweepCommands } from './commands/sweep';
import { addTeamCommands } from './commands/teams';
import { addUpCommand } from './commands/up';
import { addWebhookCommands } from './commands/webhooks';
import { addWorkerCommands } from './commands/workers';
import { describeFailure } from './errors';

const closing = `
Environment:
  LOWRANK_URL, LOWRANK_API_KEY   the server and the key, where --url and --key are not given
  LOWRANK_DATA                   folder of the server on this machine; its admin key is used when there is no other

Exit codes:
  0 done   1 refused or failed   2 wrong arguments or input   3 no server answers   4 no valid API key   130 interrupted

Start with:
  lowrank up                                             # the whole platform on this machine
  lowrank models import ./SmolLM2-135M --name smol
  lowrank submit chats.jsonl --base smol --adapter support --watch
  lowrank chat --adapter support`;

/** The whole command line, without side effects until it is parsed. */
export function makeProgram(): Command {
  const program = new Command('lowrank')
    .description('Fine-tune language models with QLoRA on your own machines.')
    .addOption(new Option('--url <url>', 'address of the server').env('LOWRANK_URL'))
    .addOption(new Option('--key <key>', 'API key (better in LOWRANK_API_KEY than in the shell history)'))
    .option('--verbose', 'show stack traces of errors')
    .addHelpText('after', closing)
    .showHelpAfterError('(lowrank --help lists the commands)')
    .exitOverride();
  addUpCommand(program);
  addDoctorCommand(program);
  addMigrateCommand(program);
  addModelCommands(program);
  addDataCommands(program);
  addSubmitCommand(program);
  addEstimateCommand(program);
  addJobCommands(program);
  addLogsCommand(program);
  addRunCommands(program);
  addSweepCommands(program);
  addControlCommands(program);
  addWorkerCommands(program);
  addWebhookCommands(program);
  addAdapterCommands(program);
  addAliasCommands(program);
  addServeCommands(program);
  addChatCommand(program);
  addCombineCommand(program);
  addKeyCommands(program);
  addMemberCommands(program);
  addGrantCommands(program);
  addTeamCommands(program);
  addAuditCommand(program);
  addUsageCommand(program);
  addExportCommands(program);
  addEvaluateCommands(program);
  return program;
}

/** Runs the command line `argv` (as process.argv) and sets the exit code. */
export async function main(argv: string[]): Promise<void> {
  const program = makeProgram();
  // Whoever reads a pipe, such as head, may have read enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  });
  try {
    await program.parseAsync(argv);
  } catch (error) {
    const { text, exitCode } = describeFailure(error, program.opts<{ verbose?: boolean }>().verbose ?? false);
    process.stderr.write(text);
    process.exitCode = exitCode;
  }
}
