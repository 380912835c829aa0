import { type Worker } from '@lowrank/contracts';
import { type Command } from 'commander';
import { connect } from '../connect';
import { formatAge, formatBytes, print, printTable } from '../terminal';

/** Workers and their drain; for admin keys. */
export function addWorkerCommands(program: Command): void {
  const workers = program.command('workers').description('list workers, or take one out of service');

  workers
    .command('list', { isDefault: true })
    .description('list workers that were seen within the last minute')
    .action(async (_options, command: Command) => {
      const all = await connect(command).workers();
      const rows = all.map((worker) => [
        worker.id,
        worker.hostname,
        `${worker.busy}/${worker.slots}`,
        worker.deviceClass,
        worker.memoryBytes === 0 ? '–' : formatBytes(worker.memoryBytes),
        describe(worker),
        formatAge(worker.seenAt),
      ]);
      if (rows.length === 0) print('No workers. Start one with: lowrank up');
      else printTable(['WORKER', 'HOST', 'BUSY', 'DEVICE', 'MEMORY', 'STATE', 'SEEN'], rows);
      for (const { id, device, failure } of all)
        if (failure !== null)
          print(
            `\n${id} (${device}) failed ${formatAge(failure.at)}: ${failure.message}\nOnce it works: lowrank workers undrain ${id}`,
          );
    });

  workers
    .command('drain')
    .description('give a worker no new jobs; those that it runs go on to their end')
    .argument('<worker>', 'id of the worker')
    .option('--now', 'have them write a checkpoint and go on elsewhere instead')
    .action(async (id: string, { now }: { now?: boolean }, command: Command) => {
      const worker = await connect(command).drain(id, now ? 'checkpoint' : 'finish');
      print(`Worker ${id} is ${describe(worker)}; ${worker.busy} of its ${worker.slots} slots are taken.`);
    });

  workers
    .command('undrain')
    .description('let a worker that drains, or whose device failed, take jobs again')
    .argument('<worker>', 'id of the worker')
    .action(async (id: string, _options, command: Command) => {
      print(`Worker ${id} is ${describe(await connect(command).drain(id, null))}.`);
    });
}

const describe = ({ drain, busy, failure }: Worker): string =>
  failure !== null ? 'failed' : drain === null ? 'working' : busy > 0 ? 'draining' : 'drained';
