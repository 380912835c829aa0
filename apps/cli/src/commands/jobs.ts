import { type Job, type JobDetail } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { summary } from '../estimate-view';
import { formatAge, formatSeconds, paint, print, printTable } from '../terminal';
import { assertSucceeded, describeSuccess, watchUntilInterrupted } from '../watch/watch-job';
import { formatEvent } from '../watch/view';

export function addJobCommands(program: Command): void {
  program
    .command('watch')
    .description('follow a job until it ends: steps, loss, speed, time left')
    .argument('<job>', 'id of the job')
    .action(async (id: string, _options, command: Command) => {
      const job = await watchUntilInterrupted(connect(command), id);
      assertSucceeded(job);
      print(describeSuccess(job));
    });

  const jobs = program.command('jobs').description('list, show or cancel jobs');

  jobs
    .command('list', { isDefault: true })
    .description('list jobs, newest first')
    .option('--limit <n>', 'at most this many', Number, 20)
    .action(async ({ limit }: { limit: number }, command: Command) => {
      const rows: string[][] = [];
      for await (const job of connect(command).jobs()) {
        if (rows.length >= limit) break;
        rows.push([
          job.id,
          job.state,
          `${job.step}/${job.totalSteps ?? '–'}`,
          resultOf(job),
          job.baseModel.name,
          formatAge(job.createdAt),
        ]);
      }
      if (rows.length === 0) print('No jobs yet. Make one with: lowrank submit');
      else printTable(['JOB', 'STATE', 'STEP', 'ADAPTER', 'BASE MODEL', 'SUBMITTED'], rows);
    });

  jobs
    .command('show')
    .description('show a job: its state, recipe, evaluations and events')
    .argument('<job>', 'id of the job')
    .action(async (id: string, _options, command: Command) => {
      const api = connect(command);
      const job = await api.job(id);
      const evaluations = await api.evaluations(id);
      const events = await api.events(id);
      printJob(job);
      for (const { step, loss, accuracy, rewardMargin } of evaluations) {
        const what = rewardMargin === null ? 'tokens' : 'pairs';
        const share = accuracy === null ? '' : `, ${(100 * accuracy).toFixed(1)}% of ${what} right`;
        print(`${`held out at ${step}`.padEnd(14)} loss ${loss.toFixed(4)}${share}`);
      }
      print(paint('bold', '\nRecipe'));
      print(JSON.stringify(job.recipe, null, 2));
      print(paint('bold', '\nEvents'));
      for (const event of events) print(formatEvent(event));
    });

  // `lowrank cancel` and its like stand beside `submit`; this one was here first.
  jobs
    .command('cancel')
    .description('the same as: lowrank cancel')
    .argument('<job>', 'id of the job')
    .action(async (id: string, _options, command: Command) => {
      const job = await connect(command).control(id, 'cancel');
      print(job.state === 'cancelled' ? `Job ${id} is cancelled.` : `Job ${id} will stop in a moment.`);
    });
}

/** The adapter that a job works for, the version that it has made, or the format that it writes one in. */
function resultOf({ adapter, version, work }: Job): string {
  if (work.kind === 'export') return `${adapter} v${work.version.number} as ${work.format}`;
  if (work.kind === 'evaluate') return `${adapter} v${work.version.number}, evaluated`;
  return version === null ? adapter : `${adapter} v${version}`;
}

function printJob(job: JobDetail): void {
  const seconds =
    job.startedAt === null
      ? null
      : (Date.parse(job.finishedAt ?? new Date().toISOString()) - Date.parse(job.startedAt)) / 1000;
  const rows: [string, string | null][] = [
    ['job', job.id],
    ['state', job.state],
    ['waits for', job.waitingFor],
    ['base model', `${job.baseModel.name} (${job.baseModel.revision.slice(0, 12)})`],
    ['dataset', `${job.dataset.filename} (${job.dataset.id})`],
    ['adapter', resultOf(job)],
    ['attempt', String(job.epoch)],
    ['steps', `${job.step} of ${job.totalSteps ?? '–'}`],
    ['tokens', job.trainedTokens.toLocaleString('en')],
    ['predicted', job.estimate && summary(job.estimate)],
    ['priority', job.priority === 0 ? null : String(job.priority)],
    ['runs on', job.placement.deviceClasses?.join(', ') ?? null],
    ['not before', job.notBefore],
    ['deadline', job.deadline],
    ['clone of', job.clonedFrom],
    ['sweep', job.sweep && `${job.sweep.id}, trial ${job.sweep.trial}`],
    ['stopped', job.stoppedEarly && `early, at rung ${job.stoppedEarly.rung}`],
    ['submitted', job.createdAt],
    ['device time', job.deviceSeconds === 0 ? null : formatSeconds(job.deviceSeconds)],
    ['took', seconds === null ? null : formatSeconds(seconds)],
    ['error', job.error && `${job.error.code}: ${job.error.message}\n               ${job.error.help}`],
  ];
  for (const [name, value] of rows) if (value !== null) print(`${name.padEnd(14)} ${value}`);
}
